//! Sends a request on and brings its answer back.
//!
//! A request is sent once. It is sent again only when that cannot be told from the first time: nothing of it had left, or it asks
//! without changing anything, has no body, and the connection was an old one that died before any answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Version, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, sleep, timeout_at};

use super::Edge;
use super::body::{AnswerBody, RequestBody};
use super::failure::{Failure, Kind};
use super::headers::remove_hop_by_hop;
use super::route::Way;
use super::upstream::{Lease, Wanted};
use crate::metrics::Present;
use crate::table::Target;

/// The body of a request that is held must fit in memory.
const HELD_BODY: usize = 1 << 20;
/// Between two looks for a hub.
const LOOK: Duration = Duration::from_millis(75);
/// Connections that may die under a request before any byte of it left.
const ATTEMPTS: usize = 3;

/// Sends a request its way and gives back the answer, streaming.
pub(crate) async fn forward(
    edge: &Edge,
    way: &Way,
    request: Request<RequestBody>,
) -> Result<Response<AnswerBody>, Failure> {
    let (response, lease) = exchange(edge, way, request).await?;
    Ok(relay_answer(response, lease))
}

/// Makes an upstream's ordinary answer ours.
pub(crate) fn relay_answer(response: Response<Incoming>, lease: Lease) -> Response<AnswerBody> {
    let (mut parts, incoming) = response.into_parts();
    remove_hop_by_hop(&mut parts.headers);
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, AnswerBody::upstream(incoming, lease))
}

/// Sends a request its way and gives back the answer with the connection it came by.
pub(crate) async fn exchange(
    edge: &Edge,
    way: &Way,
    mut request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Lease), Failure> {
    let mut wanted = Wanted::Any;
    for _ in 0..ATTEMPTS {
        let lease = connect(edge, way, wanted).await?;
        match send(lease, request).await {
            Sent::Answered(response, lease) => return Ok((response, lease)),
            Sent::Unsent(back) => request = *back,
            Sent::Lost(failure) => return Err(failure),
        }
        wanted = Wanted::Fresh;
    }
    Err(unreachable(way))
}

/// What became of a request.
enum Sent {
    Answered(Response<Incoming>, Lease),
    /// It may be sent again.
    Unsent(Box<Request<RequestBody>>),
    Lost(Failure),
}

async fn send(mut lease: Lease, mut request: Request<RequestBody>) -> Sent {
    *request.version_mut() = Version::HTTP_11;
    if !request.headers().contains_key(header::HOST) {
        // Only HTTP/1.0 comes without.
        request
            .headers_mut()
            .insert(header::HOST, HeaderValue::from_static("localhost"));
    }
    let repeatable = request.body().is_end_stream()
        && matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::OPTIONS
        );
    let spare = (lease.reused && repeatable).then(|| spare(&request));
    match lease.sender.try_send_request(request).await {
        Ok(response) => Sent::Answered(response, lease),
        Err(mut error) => match error.take_message().or(spare) {
            Some(request) => Sent::Unsent(Box::new(request)),
            None => {
                let error = error.into_error();
                let kind = if error.is_user() {
                    Kind::BodyLost
                } else {
                    Kind::Broken
                };
                Sent::Lost(Failure::new(kind).because(error))
            }
        },
    }
}

fn spare(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

async fn connect(edge: &Edge, way: &Way, wanted: Wanted) -> Result<Lease, Failure> {
    match way {
        Way::Server(_, target) => {
            if target.refused_lately() {
                return Err(unreachable(way));
            }
            edge.upstreams.take(target, wanted).await.map_err(|error| {
                target.note_refused();
                unreachable(way).because(error)
            })
        }
        Way::Hub(hubs) => connect_hub(edge, hubs, wanted).await,
    }
}

/// The first hub that connects.
async fn connect_hub(edge: &Edge, hubs: &[Arc<Target>], wanted: Wanted) -> Result<Lease, Failure> {
    let mut failure = Failure::new(Kind::HubAway);
    for hub in hubs {
        match edge.upstreams.take(hub, wanted).await {
            Ok(lease) => return Ok(lease),
            Err(error) => failure = Failure::new(Kind::HubAway).because(error),
        }
    }
    Err(failure)
}

fn unreachable(way: &Way) -> Failure {
    Failure::new(match way {
        Way::Server(..) => Kind::ServerAway,
        Way::Hub(_) => Kind::HubAway,
    })
}

/// Sends a server's request to a hub, held for a while if none answers: single-user servers do not repeat a POST.
pub(crate) async fn forward_held(
    edge: &Edge,
    request: Request<RequestBody>,
) -> Result<Response<AnswerBody>, Failure> {
    let deadline = Instant::now() + edge.settings.hold;
    let _place = edge
        .waiting
        .try_acquire()
        .map_err(|_| Failure::new(Kind::TooManyWaiting))?;
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, HELD_BODY)
        .collect()
        .await
        .map_err(|error| {
            let kind = if error.is::<LengthLimitError>() {
                Kind::TooLarge
            } else {
                Kind::BodyLost
            };
            Failure::new(kind).because(error)
        })?
        .to_bytes();
    let repeatable = body.is_empty() && matches!(parts.method, Method::GET | Method::HEAD);
    let mut request = whole(parts.clone(), &body);
    let mut changed = edge.routes.watch();
    let mut waiting = None;
    loop {
        let hubs = Arc::clone(&edge.routes.now().hubs);
        let failure = match connect_hub(edge, &hubs, Wanted::Any).await {
            Err(failure) => failure,
            Ok(lease) => match send(lease, request).await {
                Sent::Answered(response, lease) => return Ok(relay_answer(response, lease)),
                Sent::Unsent(back) => {
                    request = *back;
                    Failure::new(Kind::HubAway)
                }
                Sent::Lost(failure) if repeatable && failure.kind == Kind::Broken => {
                    request = whole(parts.clone(), &body);
                    failure
                }
                Sent::Lost(failure) => return Err(failure),
            },
        };
        waiting.get_or_insert_with(Present::waiting);
        let pause = async {
            tokio::select! {
                () = sleep(LOOK) => {}
                _ = changed.changed() => {}
            }
        };
        if timeout_at(deadline, pause).await.is_err() {
            return Err(failure);
        }
    }
}

fn whole(mut parts: Parts, body: &Bytes) -> Request<RequestBody> {
    if parts.headers.remove(header::TRANSFER_ENCODING).is_some() {
        parts
            .headers
            .insert(header::CONTENT_LENGTH, body.len().into());
    }
    let body = Some(body.clone()).filter(|body| !body.is_empty());
    Request::from_parts(parts, RequestBody::Whole(body))
}
