//! A small server for what is asked of the proxy itself: the REST API, metrics, redirects.
//!
//! Connections are bounded in number and in time, and a handshake holds up nobody else.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::listen::Door;

/// Connections that one server holds at a time.
const MOST: usize = 1024;
/// An answer must be taken in so long.
const UNREAD: Duration = Duration::from_secs(30);
/// A TLS handshake is done in so long.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A head is there in so long, and the next request begins in so long.
const HEAD: Duration = Duration::from_secs(15);
/// Between two tries to take a connection while the system has no room for one.
const NO_ROOM: Duration = Duration::from_millis(100);

/// An answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// What answers.
pub(super) trait Service: Send + Sync + 'static {
    /// Answers a request.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Answer> + Send;
}

/// A server that is to be run.
pub(super) struct Server<S> {
    /// What answers.
    pub(super) service: Arc<S>,
    /// By TLS, where there is one.
    pub(super) tls: Option<TlsAcceptor>,
    /// Where its connections are kept.
    pub(super) tasks: TaskTracker,
    /// Ends it.
    pub(super) stop: CancellationToken,
    room: Arc<Semaphore>,
}

impl<S: Service> Server<S> {
    /// A server without TLS.
    pub(super) fn new(service: Arc<S>, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Server {
            service,
            tls: None,
            tasks,
            stop,
            room: Arc::new(Semaphore::new(MOST)),
        }
    }

    /// Serves what comes by these doors until it is told to stop.
    pub(super) fn start(self, doors: Vec<Door>) -> io::Result<()> {
        let server = Arc::new(self);
        for door in doors {
            let listener = match door {
                Door::Tcp(listener) => Listener::Tcp(TcpListener::from_std(listener)?),
                Door::Unix(listener) => Listener::Unix(UnixListener::from_std(listener)?),
            };
            server.tasks.spawn(Arc::clone(&server).accept(listener));
        }
        Ok(())
    }

    async fn accept(self: Arc<Self>, listener: Listener) {
        loop {
            let next = async {
                let place = Arc::clone(&self.room).acquire_owned().await;
                Some((place.ok()?, listener.accept().await))
            };
            let accepted = tokio::select! {
                next = next => next,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                None => return,
                Some((place, Ok(stream))) => {
                    self.tasks.spawn(Arc::clone(&self).hold(stream, place));
                }
                Some((_, Err(error))) => {
                    tracing::warn!(%error, "No connection can be taken");
                    tokio::time::sleep(NO_ROOM).await;
                }
            }
        }
    }

    async fn hold(self: Arc<Self>, stream: Box<dyn Stream>, _place: OwnedSemaphorePermit) {
        tokio::select! {
            () = self.converse(stream) => {}
            () = self.stop.cancelled() => {}
        }
    }

    async fn converse(&self, stream: Box<dyn Stream>) {
        match &self.tls {
            None => self.answer_all(stream).await,
            Some(tls) => match timeout(HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.answer_all(stream).await,
                Ok(Err(error)) => tracing::debug!(%error, "A TLS handshake failed"),
                Err(_) => tracing::debug!("A TLS handshake took too long"),
            },
        }
    }

    async fn answer_all(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service =
            service_fn(async |request| Ok::<_, Infallible>(self.service.answer(request).await));
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "A connection of a caller ended early");
        }
    }
}

/// Where connections come from.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                // A caller that does not read its answers must not keep a place for ever.
                socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD))?;
                Box::new(stream)
            }
            Listener::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// A connection of either kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An answer of words.
pub(super) fn text(status: StatusCode, words: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(words.into()));
    *answer.status_mut() = status;
    if answer.body().size_hint().exact() != Some(0) {
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    answer
}

/// An answer without words.
pub(super) fn empty(status: StatusCode) -> Answer {
    text(status, Bytes::new())
}

/// The words that belong to a status.
pub(super) fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Unknown")
}
