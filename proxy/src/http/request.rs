//! The story of a request: normalize it, find its route, forward it or let it become a websocket, answer, record.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;

use super::body::{AnswerBody, RequestBody};
use super::clock::Answering;
use super::failure::{Failure, Kind};
use super::forward::{forward, forward_held};
use super::headers::prepare;
use super::normalize::{Visit, is_hub_api, normalize};
use super::record::Record;
use super::respond::{self, Reader};
use super::route::{self, Way};
use super::upgrade::upgrade;
use super::{Client, Edge, Listener};
use crate::table::{Hash, credentials};

/// Carries a request and gives back its answer, whatever happens.
pub(crate) async fn handle(
    edge: &Arc<Edge>,
    client: Client,
    request: Request<Incoming>,
    answering: Answering,
) -> Response<AnswerBody> {
    let mut record = Record::begin(request.method(), request.uri().path(), client.listener);
    let mut reader = Reader::Program;
    let carried = carry(edge, client, request, &mut record, &mut reader).await;
    let response = carried.unwrap_or_else(|failure| {
        tracing::debug!(%failure, side = ?failure.side, phase = ?failure.phase, "A request was not carried");
        respond::failure(&failure, &reader)
    });
    record.answered(response.status().as_u16());
    response.map(|body| body.until_its_end(record, answering))
}

async fn carry(
    edge: &Arc<Edge>,
    client: Client,
    mut request: Request<Incoming>,
    record: &mut Record,
    reader: &mut Reader,
) -> Result<Response<AnswerBody>, Failure> {
    let visit = normalize(&mut request)?;
    if visit.navigation {
        *reader = Reader::Person(request.uri().path().to_owned());
    }
    record.identified(prepare(request.headers_mut(), client));

    if client.listener == Listener::Internal {
        return carry_internal(edge, request, &visit).await;
    }

    let way = route::find(edge, request.uri().path(), &visit).await?;
    record.routed(&way);
    let credentials = check_revoked(edge, &way, &mut request, &visit)?;

    if visit.websocket {
        upgrade(edge, &way, request, credentials).await
    } else {
        forward(edge, &way, request.map(RequestBody::Stream)).await
    }
}

/// What comes by the internal listener is for the hub's API, or for nobody.
async fn carry_internal(
    edge: &Edge,
    request: Request<Incoming>,
    visit: &Visit,
) -> Result<Response<AnswerBody>, Failure> {
    if visit.websocket || !is_hub_api(request.uri().path()) {
        return Err(Failure::new(Kind::NotTheApi));
    }
    forward_held(edge, request.map(RequestBody::Stream)).await
}

/// Refuses what was signed out, and gives back the credentials that a websocket must be closed by later.
///
/// Only for servers, which remember for minutes who may enter; the hub itself knows. A server's own cookie that was signed out is
/// taken away instead: then the server asks the hub who comes.
fn check_revoked(
    edge: &Edge,
    way: &Way,
    request: &mut Request<Incoming>,
    visit: &Visit,
) -> Result<Vec<Hash>, Failure> {
    let revoked = &edge.routes.revoked;
    if matches!(way, Way::Hub(_)) || (revoked.is_empty() && !visit.websocket) {
        return Ok(Vec::new());
    }
    revoked.take_cookies(request.headers_mut());
    let credentials = credentials(request.headers(), request.uri());
    if revoked.holds(&credentials) {
        return Err(Failure::new(Kind::Revoked));
    }
    Ok(credentials)
}
