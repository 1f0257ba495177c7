//! A websocket: the request goes on, and only after the upstream's own 101 are bytes relayed.
//!
//! Any other answer is relayed as an ordinary one. The bytes are never looked at.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;

use super::Edge;
use super::body::{AnswerBody, RequestBody};
use super::clock::Watched;
use super::failure::Failure;
use super::forward::{exchange, relay_answer};
use super::headers::remove_hop_by_hop;
use super::relay::relay;
use super::route::Way;
use super::socket::Socket;
use crate::table::Hash;

/// Asks for a websocket, and relays it if the upstream agrees.
pub(crate) async fn upgrade(
    edge: &Arc<Edge>,
    way: &Way,
    mut request: Request<Incoming>,
    credentials: Vec<Hash>,
) -> Result<Response<AnswerBody>, Failure> {
    let client = hyper::upgrade::on(&mut request);
    let mut request = request.map(|_| RequestBody::empty());
    say_upgrade(request.headers_mut());
    let (mut response, lease) = exchange(edge, way, request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(relay_answer(response, lease));
    }
    let upstream = hyper::upgrade::on(&mut response);
    let (mut parts, _) = response.into_parts();
    remove_hop_by_hop(&mut parts.headers);
    say_upgrade(&mut parts.headers);
    parts.version = Version::HTTP_11;
    edge.clients.spawn(tunnel(
        Arc::clone(edge),
        way.clone(),
        client,
        upstream,
        credentials,
    ));
    Ok(Response::from_parts(parts, AnswerBody::own("")))
}

fn say_upgrade(headers: &mut http::HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

async fn tunnel(
    edge: Arc<Edge>,
    way: Way,
    client: OnUpgrade,
    upstream: OnUpgrade,
    credentials: Vec<Hash>,
) {
    let open = edge.websockets.open(credentials.clone());
    // A revocation that came between the request's check and this line did not see the websocket; so look again.
    if matches!(way, Way::Server(..)) && edge.routes.revoked.holds(&credentials) {
        return;
    }
    drop(credentials);
    let carried = async {
        let sockets = tokio::try_join!(client, upstream);
        let (client, upstream) = match sockets {
            Ok((client, upstream)) => (client_socket(client), upstream_socket(upstream)),
            Err(error) => return tracing::debug!(%error, "A websocket ended before it began"),
        };
        let (Some((client, from_client)), Some((upstream, from_upstream))) = (client, upstream)
        else {
            return tracing::error!("A websocket's socket is not of the kind that was opened");
        };
        let used = || {
            if let Way::Server(leaf, _) = &way {
                leaf.last_use.touch();
            }
        };
        let (moved, result) = relay(&client, &upstream, &from_client, &from_upstream, used).await;
        let error = result.err().map(tracing::field::display);
        tracing::debug!(
            bytes_up = moved.up,
            bytes_down = moved.down,
            error,
            "A websocket ended"
        );
    };
    tokio::select! {
        () = carried => {}
        () = open.close.cancelled() => tracing::info!("A websocket was closed: its session or token is revoked"),
        () = edge.stop.cancelled() => {}
    }
}

fn client_socket(upgraded: Upgraded) -> Option<(Socket, bytes::Bytes)> {
    let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<Watched>>().ok()?;
    Some((io.into_inner().socket, read_buf))
}

fn upstream_socket(upgraded: Upgraded) -> Option<(Socket, bytes::Bytes)> {
    let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<Socket>>().ok()?;
    Some((io.into_inner(), read_buf))
}
