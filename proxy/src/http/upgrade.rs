//! A websocket: the request went on like any other, and only after the upstream's own 101 are bytes relayed.

use std::sync::Arc;

use super::connection::{After, Connection};
use super::forward::Errand;
use super::relay::{Beginning, Relay};
use super::socket::Socket;
use super::upstream::Upstream;

/// Makes a relay of a client's connection and the upstream's, which agreed.
pub(crate) fn upgrade(
    connection: &mut Connection,
    errand: Errand,
    upstream: Upstream,
    head: Vec<u8>,
) -> After {
    let edge = Arc::clone(&connection.edge);
    let open = edge.websockets.open(errand.credentials);
    let beginning = Beginning {
        client: std::mem::replace(&mut connection.socket, Socket::Gone),
        from_client: std::mem::take(&mut connection.inbox),
        upstream: upstream.socket,
        from_upstream: upstream.inbox,
        head,
        leaf: errand.way.leaf().cloned(),
        open,
        place: errand.place,
        seat: connection.client.seat.take(),
    };
    After::Relay(Box::new(Relay::new(edge, beginning)))
}
