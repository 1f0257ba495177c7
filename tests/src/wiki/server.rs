//! The wiki's socket: a thread of its own, so that it answers whatever the test's own runtime does.
//!
//! Plain hyper, since connections must close or hang without an answer when a test wants it so.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use futures_util::future::ready;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::request::Request;
use super::site::receive;
use super::state::State;
use super::trouble::Fate;

/// The largest body that is read.
const BODY_BYTES: usize = 160 << 20;

/// What the thread is told, and by what it says that it is done.
enum Order {
    /// Refuse connections, and cut those that are there.
    Close(std::sync::mpsc::Sender<Result<()>>),
    /// Accept connections, at the same address as before.
    Open(std::sync::mpsc::Sender<Result<()>>),
}

/// The running server. Dropping it ends it.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// The answer was not to be given.
#[derive(Debug)]
struct Ended;

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("this connection ends without an answer")
    }
}

impl std::error::Error for Ended {}

impl Server {
    pub(super) fn start(
        bind: impl FnOnce(SocketAddr) -> State,
    ) -> Result<(Self, Arc<Mutex<State>>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(bind(address)));
        let (orders, received) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let shared = state.clone();
        let thread = std::thread::Builder::new()
            .name("wiki".to_owned())
            .spawn(move || runtime.block_on(serve(listener, address, received, shared)))?;
        let server = Self {
            address,
            orders: Some(orders),
            thread: Some(thread),
        };
        Ok((server, state))
    }

    /// Refuses connections from now on.
    pub(super) fn close(&self) -> Result<()> {
        self.order(Order::Close)
    }

    /// Accepts connections again.
    pub(super) fn open(&self) -> Result<()> {
        self.order(Order::Open)
    }

    fn order(&self, make: fn(std::sync::mpsc::Sender<Result<()>>) -> Order) -> Result<()> {
        let (done, is_done) = std::sync::mpsc::channel();
        self.orders
            .as_ref()
            .context("the wiki has ended")?
            .send(make(done))
            .ok()
            .context("the wiki has ended")?;
        is_done.recv().context("the wiki has ended")?
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.orders.take();
        if let Some(thread) = self.thread.take() {
            // A thread that has panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// What the wiki knows; a test that failed while it changed something spoils nothing for the others.
pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    mut orders: mpsc::UnboundedReceiver<Order>,
    state: Arc<Mutex<State>>,
) {
    let mut listener = tokio::net::TcpListener::from_std(listener).ok();
    // Dropped at the end, which cuts every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                None => return,
                Some(Order::Close(done)) => {
                    listener = None;
                    connections.shutdown().await;
                    let _ = done.send(Ok(()));
                }
                Some(Order::Open(done)) => {
                    let opened = match listener {
                        Some(_) => Ok(()),
                        None => tokio::net::TcpListener::bind(address).await.map(|bound| {
                            listener = Some(bound);
                        }),
                    };
                    let _ = done.send(opened.context("the wiki's port is taken"));
                }
            },
            accepted = accept(listener.as_ref()) => {
                if let Ok((stream, peer)) = accepted {
                    connections.spawn(connection(stream, peer, state.clone()));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn accept(
    listener: Option<&tokio::net::TcpListener>,
) -> std::io::Result<(tokio::net::TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn connection(stream: tokio::net::TcpStream, peer: SocketAddr, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request| respond(request, peer, state.clone()));
    // How a connection ended is the client's business.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    state: Arc<Mutex<State>>,
) -> Result<hyper::Response<BoxBody<Bytes, Ended>>, Ended> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES)
        .collect()
        .await
        .map_err(|_| Ended)?
        .to_bytes();
    let target = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    let request = Request::new(
        parts.method.as_str(),
        target,
        parts.headers,
        &body,
        peer.ip(),
    );
    let (fate, pause) = {
        let mut state = lock(&state);
        (receive(&mut state, &request), state.pause)
    };
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    let (answer, is_cut) = match fate {
        Fate::Answer(answer) => (answer, false),
        Fate::Cut(answer) => (answer, true),
        Fate::Close => return Err(Ended),
        Fate::Hang => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
    };
    let mut response = hyper::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(*name, value.as_bytes());
    }
    let whole = Bytes::from(answer.body);
    let body = if is_cut {
        response = response.header("content-length", whole.len());
        let half = whole.slice(..whole.len() / 2);
        // The half is on its way before the end is seen.
        let frames = stream::once(ready(Ok(Frame::data(half)))).chain(stream::once(async {
            tokio::task::yield_now().await;
            Err(Ended)
        }));
        BoxBody::new(StreamBody::new(frames))
    } else {
        Full::new(whole).map_err(|never| match never {}).boxed()
    };
    response.body(body).map_err(|_| Ended)
}
