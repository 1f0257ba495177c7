//! One client connection: its requests one after the other, and its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::clock::{Clock, Watched};
use super::{Client, Edge, Listener, Socket, request};
use crate::metrics::Present;

/// The most a head may have, and the most that is buffered of a body in either direction.
const BUFFER: usize = 64 * 1024;
/// Header lines of a head.
const HEADER_LINES: usize = 256;

/// Serves a connection until it ends, the client is too slow, or everything stops.
pub(crate) async fn serve(edge: Arc<Edge>, socket: Socket, peer: SocketAddr, listener: Listener) {
    let _present = Present::connection();
    let client = Client {
        peer,
        listener,
        trusted: edge.trusts(peer),
    };
    let clock = Clock::start();
    let watched = Watched {
        socket,
        clock: Arc::clone(&clock),
    };
    let service = service_fn(|request| {
        let answering = clock.request();
        let edge = Arc::clone(&edge);
        async move { Ok::<_, Infallible>(request::handle(&edge, client, request, answering).await) }
    });
    let connection = http1::Builder::new()
        .max_headers(HEADER_LINES)
        .max_buf_size(BUFFER)
        .preserve_header_case(true)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(watched), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut expired = pin!(clock.expired());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = expired.as_mut() => return tracing::debug!("A client was too slow with its request"),
        () = edge.stop.cancelled() => return,
        () = edge.drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = expired => return,
                () = edge.stop.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "A client connection ended early");
    }
}
