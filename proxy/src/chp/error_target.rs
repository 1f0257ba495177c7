//! Pages for failures from a server that is asked for them: JupyterHub, as a rule.
//!
//! A flood of failures must not become a flood of questions: few are asked at a time, and whoever waits too long gets bare words.

use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::pages::bare;
use crate::http::{Page, Pages, connect};
use crate::table::Target;

/// A page is there in so long, waiting for a turn included.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest page.
const LARGEST: usize = 1 << 20;
/// Pages asked for at a time.
const AT_ONCE: usize = 64;

/// A server that has pages for failures.
pub(super) struct ErrorTarget {
    target: Target,
    tls: Option<TlsConnector>,
    turns: Semaphore,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
enum NoPage {
    #[error("it cannot be reached")]
    Connect(#[from] crate::http::ConnectError),
    #[error("the request cannot be made")]
    Request(#[from] http::Error),
    #[error("it does not answer")]
    Answer(#[from] hyper::Error),
    #[error("its answer breaks off or is larger than a page may be")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("it takes too long")]
    Slow,
}

impl ErrorTarget {
    /// The pages of this server.
    pub(super) fn new(target: Target, tls: Option<TlsConnector>) -> Self {
        ErrorTarget {
            target,
            tls,
            turns: Semaphore::new(AT_ONCE),
        }
    }

    async fn fetch(&self, status: u16, asked: &str) -> Result<Page, NoPage> {
        let Ok(_turn) = self.turns.acquire().await else {
            return Err(NoPage::Slow);
        };
        let socket = connect(&self.target, self.tls.as_ref()).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        // The connection ends with the answer: nothing is kept, so nothing unread can be mistaken for another answer.
        let request = Request::get(question(&self.target, status, asked))
            .header(header::HOST, &*self.target.authority)
            .header(header::CONNECTION, "close")
            .header(header::ACCEPT, "text/html, */*;q=0.1")
            .body(Empty::<Bytes>::new())?;
        let exchange = async { read(sender.send_request(request).await?).await };
        let drive = async {
            // Its error, if any, is the exchange's too.
            let _ = connection.await;
            pending::<()>().await;
        };
        tokio::select! {
            page = exchange => page,
            () = drive => Err(NoPage::Slow),
        }
    }
}

async fn read(response: Response<Incoming>) -> Result<Page, NoPage> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, LARGEST)
        .collect()
        .await
        .map_err(NoPage::Body)?;
    Ok(Page {
        kind: value(&head.headers, header::CONTENT_TYPE),
        encoding: value(&head.headers, header::CONTENT_ENCODING),
        body: body.to_bytes(),
    })
}

fn value(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

/// What is asked for: the status in the path, the failed request in the query.
fn question(target: &Target, status: u16, asked: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("url", asked);
    let own = match &*target.query {
        "" => String::new(),
        own => format!("{own}&"),
    };
    format!("{}/{status}?{own}{}", target.path, query.finish())
}

impl Pages for ErrorTarget {
    fn page<'a>(
        &'a self,
        status: u16,
        asked: &'a str,
    ) -> Pin<Box<dyn Future<Output = Page> + Send + 'a>> {
        Box::pin(async move {
            let fetched = timeout(PATIENCE, self.fetch(status, asked)).await;
            match fetched.unwrap_or(Err(NoPage::Slow)) {
                Ok(page) => page,
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(cause, "Failed to get custom error page: {error}");
                    bare(status)
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn the_failed_request_is_told_in_the_query() {
        let asked = |target: &str| {
            let target = Target::parse(target).unwrap();
            question(&target, 404, "/user/a b?x=1&y=é")
        };
        let url = "url=%2Fuser%2Fa+b%3Fx%3D1%26y%3D%C3%A9";
        assert_eq!(
            asked("http://hub:8081/hub/error"),
            format!("/hub/error/404?{url}")
        );
        assert_eq!(asked("http://hub:8081/"), format!("/404?{url}"));
        assert_eq!(asked("http://hub/e?k=v"), format!("/e/404?k=v&{url}"));
    }

    /// Answers one connection with these bytes, and gives back what was asked.
    async fn page_of(answer: &'static [u8]) -> (Page, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/error", listener.local_addr().unwrap());
        let pages = ErrorTarget::new(Target::parse(&url).unwrap(), None);
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let length = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer).await.unwrap();
            asked.truncate(length);
            String::from_utf8(asked).unwrap()
        };
        tokio::join!(pages.page(503, "/x"), answering)
    }

    #[tokio::test]
    async fn of_a_page_only_its_kind_and_coding_are_taken() {
        let answer =
            b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Encoding: br\r\n\
            Set-Cookie: a=b\r\nContent-Length: 4\r\n\r\nbody";
        let (page, asked) = page_of(answer).await;
        assert!(
            asked.starts_with("GET /error/503?url=%2Fx HTTP/1.1\r\n"),
            "{asked}"
        );
        let expected = Page {
            kind: Some("text/html".to_owned()),
            encoding: Some("br".to_owned()),
            body: "body".into(),
        };
        assert_eq!(page, expected);
    }

    #[tokio::test]
    async fn a_page_that_breaks_off_is_none() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nbody";
        assert_eq!(page_of(answer).await.0, bare(503));
    }

    #[tokio::test]
    async fn a_server_that_is_gone_has_no_page() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let pages = ErrorTarget::new(Target::parse(&url).unwrap(), None);
        assert_eq!(pages.page(404, "/x").await, bare(404));
    }
}
