//! Requests to a wiki that are under way when they are not wished any more.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue};
use http_body_util::{Empty, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::broker::started;
use super::world::World;
use crate::broker::{Answer, Asked, Broker, BrokerError, Outcome};

/// Long enough for anything, and shorter than a wiki is waited for.
const SOON: Duration = Duration::from_secs(4);
const API: &str = "https://wiki.example/w/api.php?action=upload";

/// A wiki that tells what came over each connection, and answers nothing.
struct Silent {
    origin: String,
    /// Something of a request is here.
    heard: mpsc::UnboundedReceiver<()>,
    /// What a connection brought, once it is over.
    came: mpsc::UnboundedReceiver<Vec<u8>>,
    /// Let it close what is open.
    close: Arc<tokio::sync::Notify>,
    count: Arc<AtomicUsize>,
}

impl Silent {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (hears, heard) = mpsc::unbounded_channel();
        let (brings, came) = mpsc::unbounded_channel();
        let (close, count) = (Arc::new(tokio::sync::Notify::new()), Arc::default());
        let (closes, counts) = (Arc::clone(&close), Arc::clone(&count));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                AtomicUsize::fetch_add(&counts, 1, Ordering::SeqCst);
                let (hears, brings, closes) = (hears.clone(), brings.clone(), closes.clone());
                tokio::spawn(async move {
                    let mut all = Vec::new();
                    loop {
                        tokio::select! {
                            read = socket.read_buf(&mut all) => match read {
                                Ok(0) | Err(_) => break,
                                Ok(_) => { let _ = hears.send(()); }
                            },
                            () = closes.notified() => break,
                        }
                    }
                    let _ = socket.shutdown().await;
                    let _ = brings.send(all);
                });
            }
        });
        Self {
            origin,
            heard,
            came,
            close,
            count,
        }
    }
}

/// Ways in which what is under way is not wished any more.
#[derive(Debug, Clone, Copy)]
enum End {
    Stop,
    Halt,
    SignOut,
    Lock,
}

impl End {
    const ALL: [Self; 4] = [Self::Stop, Self::Halt, Self::SignOut, Self::Lock];

    async fn come(self, world: &World, user: i64) {
        let store = &world.store;
        // Containers go on: nothing but the wish ends it.
        *world.spawner.down.lock().unwrap() = true;
        match self {
            Self::Stop => {
                world.servers.stop(user, "").await.unwrap();
            }
            Self::Halt => {
                let launch = store.broker_launches(user).await.unwrap().remove(0).launch;
                assert!(store.halt_broker(user, &launch, true).await.unwrap());
            }
            Self::SignOut => {
                store.sign_out_everywhere(user).await.unwrap();
            }
            Self::Lock => {
                let identity = store.identities_of(user).await.unwrap().remove(0);
                store.put_out(&identity, "locked").await.unwrap();
            }
        }
    }
}

fn asked<'a>(token: &'a str, from: IpAddr, method: &'a str, headers: &'a HeaderMap) -> Asked<'a> {
    Asked {
        token,
        from: Some(from),
        method,
        url: API,
        headers,
    }
}

async fn get(broker: &Broker, token: &str, from: IpAddr) -> Result<Answer, BrokerError> {
    let headers = HeaderMap::new();
    broker
        .send(asked(token, from, "GET", &headers), Empty::new())
        .await
}

/// It was broken off, and nobody says that nothing was done.
fn is_stopped(answer: &Result<Answer, BrokerError>) -> bool {
    let Err(error) = answer else { return false };
    matches!(error, BrokerError::Stopped(_)) && error.outcome() == Outcome::Unknown
}

#[tokio::test]
async fn a_body_that_streams_breaks_off() {
    for end in End::ALL {
        let (world, user, token, address) = started().await;
        let mut wiki = Silent::start().await;
        let broker = world.wikis.another(&world.store, &wiki.origin);
        let (words, more) = mpsc::unbounded_channel::<Bytes>();
        let body = StreamBody::new(Box::pin(stream::unfold(more, |mut more| async {
            let data = more.recv().await?;
            Some((Ok::<_, std::convert::Infallible>(Frame::data(data)), more))
        })));
        let begin = b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n";
        words.send(Bytes::from_static(begin)).unwrap();
        words.send(Bytes::from(vec![b'x'; 80_000])).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(
            "content-type",
            HeaderValue::from_static("multipart/form-data; boundary=b"),
        );
        let sending = broker.send(asked(&token, address, "POST", &headers), body);
        let ending = async {
            wiki.heard.recv().await.unwrap();
            end.come(&world, user).await;
        };
        let both = async { tokio::join!(sending, ending) };
        let (answer, ()) = timeout(SOON, both).await.expect("it breaks off");
        assert!(is_stopped(&answer), "{end:?}");
        // The notebook goes on as if nothing were.
        let _ = words.send(Bytes::from_static(b"\r\n--b--\r\n"));
        drop(words);
        let came = timeout(SOON, wiki.came.recv()).await.unwrap().unwrap();
        assert!(came.starts_with(b"POST /w/api.php?action=upload "));
        assert!(!came.ends_with(b"0\r\n\r\n"), "{end:?}");
        assert!(!came.windows(5).any(|five| five == b"--b--"), "{end:?}");
    }
}

#[tokio::test]
async fn a_wiki_is_waited_for_no_longer() {
    for end in End::ALL {
        let (world, user, token, address) = started().await;
        let mut wiki = Silent::start().await;
        let broker = world.wikis.another(&world.store, &wiki.origin);
        let ending = async {
            wiki.heard.recv().await.unwrap();
            end.come(&world, user).await;
        };
        let both = async { tokio::join!(get(&broker, &token, address), ending) };
        let (answer, ()) = timeout(SOON, both).await.expect("it breaks off");
        assert!(is_stopped(&answer), "{end:?}");
    }
}

#[tokio::test]
async fn a_read_is_repeated_only_while_it_is_wished() {
    // While it is.
    let (world, _, token, address) = started().await;
    let mut wiki = Silent::start().await;
    let broker = world.wikis.another(&world.store, &wiki.origin);
    let closing = async {
        for _ in 0..2 {
            wiki.heard.recv().await.unwrap();
            wiki.close.notify_one();
        }
    };
    let (answer, ()) = tokio::join!(get(&broker, &token, address), closing);
    assert!(matches!(answer, Err(BrokerError::Unknown(_))));
    assert_eq!(wiki.count.load(Ordering::SeqCst), 2);
    // And afterwards.
    for end in End::ALL {
        let (world, user, token, address) = started().await;
        let mut wiki = Silent::start().await;
        let broker = world.wikis.another(&world.store, &wiki.origin);
        let closing = async {
            wiki.heard.recv().await.unwrap();
            end.come(&world, user).await;
            wiki.close.notify_one();
        };
        let both = async { tokio::join!(get(&broker, &token, address), closing) };
        let (answer, ()) = timeout(SOON, both).await.unwrap();
        assert!(is_stopped(&answer), "{end:?}");
        assert_eq!(wiki.count.load(Ordering::SeqCst), 1, "{end:?}");
    }
}
