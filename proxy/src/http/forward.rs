//! Sends a request on and brings its answer back.
//!
//! A request is sent once. It is sent again only when that cannot be told from the first time: nothing of it had left, or it asks
//! without changing anything, has no body, and the connection was an old one that died before any answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::answer::Asked;
use super::connection::{After, Connection};
use super::exchange::{Exchange, Outcome};
use super::failure::{Failure, Kind};
use super::framing::{Body, Framing, Piece};
use super::head::Method;
use super::headers::put_length;
use super::record::Record;
use super::request::fail;
use super::respond::Reader;
use super::route::{Place, Way};
use super::upgrade::upgrade;
use super::upstream::{ConnectError, Upstream, Wanted};
use super::{Edge, STAND_IN_LOG};
use crate::metrics::Present;
use crate::table::{Hash, Target};

/// The body of a request that is held must fit in memory.
const HELD_BODY: usize = 1 << 20;
/// Between two looks for a hub.
const LOOK: Duration = Duration::from_millis(75);
/// Connections that may die under a request before any byte of it was acted on.
const ATTEMPTS: usize = 3;

/// A request on its way: its head for the upstream, and what its answer depends on.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) head: Vec<u8>,
    pub(crate) body: Framing,
    pub(crate) method: Method,
    /// The client waits for `100 Continue`.
    pub(crate) expects: bool,
    /// The request's `Host`, where redirects are rewritten.
    pub(crate) host: Option<Box<str>>,
    pub(crate) reader: Reader,
    pub(crate) websocket: bool,
    /// The client's connection may go on afterwards.
    pub(crate) keep: bool,
    pub(crate) place: Place,
    /// What a websocket must be closed by later.
    pub(crate) credentials: Vec<Hash>,
    pub(crate) way: Way,
    pub(crate) record: Record,
}

/// Sends a request its way and carries the answer to the client.
pub(crate) async fn forward(connection: &mut Connection, mut errand: Errand) -> After {
    match Place::take(&errand.way, connection.edge.settings.per_route) {
        Ok(place) => errand.place = place,
        Err(failure) => return fail(connection, failure, errand.reader, errand.record).await,
    }
    if let (Some(asked), Way::Server(_, target)) = (&errand.reader.asked, &errand.way) {
        let kind = if errand.websocket { "WS" } else { "WEB" };
        tracing::debug!(target: STAND_IN_LOG, "PROXY {kind} {} to {target}", asked.path());
    }
    let mut wanted = Wanted::Any;
    for _ in 0..ATTEMPTS {
        let (mut upstream, target) = match connect(&connection.edge, &errand.way, wanted).await {
            Ok(connected) => connected,
            Err(failure) => return fail(connection, failure, errand.reader, errand.record).await,
        };
        let head = std::mem::take(&mut errand.head);
        match exchange(connection, &errand, &mut upstream, &target, head).await {
            Outcome::Failed {
                unsent: Some(unsent),
                ..
            } => {
                errand.head = unsent.message;
                errand.body = unsent.body;
            }
            outcome => return finish(connection, errand, upstream, outcome).await,
        }
        wanted = Wanted::Fresh;
    }
    let failure = unreachable(&errand.way);
    fail(connection, failure, errand.reader, errand.record).await
}

async fn exchange(
    connection: &mut Connection,
    errand: &Errand,
    upstream: &mut Upstream,
    target: &Target,
    head: Vec<u8>,
) -> Outcome {
    let edge = Arc::clone(&connection.edge);
    let asked = Asked {
        method: errand.method,
        old: errand.reader.old,
        websocket: errand.websocket,
        keep: errand.keep,
        host: errand.host.as_deref(),
        target,
    };
    let last_use = errand.way.leaf().map(|leaf| &*leaf.last_use);
    let end = connection.end();
    Exchange::new(
        &edge.settings,
        end,
        upstream,
        asked,
        last_use,
        head,
        errand.body,
    )
    .run()
    .await
}

/// What an exchange leaves behind, for both connections and for the record.
async fn finish(
    connection: &mut Connection,
    errand: Errand,
    upstream: Upstream,
    outcome: Outcome,
) -> After {
    match outcome {
        Outcome::Whole { answer, sent_whole } => {
            errand.record.finished(answer.status, true);
            if answer.reusable && sent_whole {
                upstream.give_back();
            }
            if answer.keep && sent_whole {
                After::Again
            } else {
                After::Close
            }
        }
        Outcome::Switched { head } => {
            errand.record.finished(101, true);
            upgrade(connection, errand, upstream, head)
        }
        Outcome::Failed { failure, .. } => {
            let mut reader = errand.reader;
            reader.keep &= errand.keep;
            fail(connection, failure, reader, errand.record).await
        }
        Outcome::Cut { status } => {
            errand.record.finished(status, false);
            After::Cut
        }
    }
}

async fn connect(
    edge: &Edge,
    way: &Way,
    wanted: Wanted,
) -> Result<(Upstream, Arc<Target>), Failure> {
    match way {
        Way::Server(_, target) => {
            if target.refused_lately() {
                return Err(unreachable(way));
            }
            let taken = take(edge, target, wanted).await;
            let upstream = taken.map_err(|error| match error {
                ConnectError::Nowhere => Failure::new(Kind::NoAddress),
                error => unreachable(way).because(error),
            })?;
            Ok((upstream, Arc::clone(target)))
        }
        Way::Hub(hubs) => connect_hub(edge, hubs, wanted).await,
    }
}

async fn take(edge: &Edge, target: &Target, wanted: Wanted) -> Result<Upstream, ConnectError> {
    Upstream::take(
        target,
        wanted,
        &edge.upstreams,
        edge.settings.upstream_tls.as_ref(),
    )
    .await
}

/// The first hub that connects.
async fn connect_hub(
    edge: &Edge,
    hubs: &[Arc<Target>],
    wanted: Wanted,
) -> Result<(Upstream, Arc<Target>), Failure> {
    let mut failure = Failure::new(Kind::HubAway);
    for hub in hubs {
        match take(edge, hub, wanted).await {
            Ok(upstream) => return Ok((upstream, Arc::clone(hub))),
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
pub(crate) async fn forward_held(connection: &mut Connection, mut errand: Errand) -> After {
    let edge = Arc::clone(&connection.edge);
    let deadline = Instant::now() + edge.settings.hold;
    let Ok(_memory) = edge.held_kib.try_acquire_many(kib(errand.body)) else {
        let failure = Failure::new(Kind::TooManyWaiting);
        return fail(connection, failure, errand.reader, errand.record).await;
    };
    // All of it, not only the next piece: it is small, and comes from next door.
    let collected = timeout(edge.settings.head, collect(connection, &errand)).await;
    let body = match collected.unwrap_or_else(|_| Err(Failure::new(Kind::Slow))) {
        Ok(body) => body,
        Err(failure) => return fail(connection, failure, errand.reader, errand.record).await,
    };
    let repeatable = body.is_empty() && errand.method.is_safe();
    let message = whole(std::mem::take(&mut errand.head), &body, errand.body);
    errand.body = Framing::None;
    // The body is read: the connection can go on whatever becomes of the request.
    errand.reader.keep = errand.keep;
    let mut changed = edge.live.watch();
    let mut waiting = None;
    loop {
        let hubs = Arc::clone(&edge.live.now().hubs);
        let failure = match connect_hub(&edge, &hubs, Wanted::Any).await {
            Err(failure) => failure,
            Ok((mut upstream, target)) => {
                match exchange(connection, &errand, &mut upstream, &target, message.clone()).await {
                    Outcome::Failed {
                        unsent: Some(_), ..
                    } => Failure::new(Kind::HubAway),
                    Outcome::Failed { failure, .. }
                        if repeatable && failure.kind == Kind::Broken =>
                    {
                        failure
                    }
                    outcome => return finish(connection, errand, upstream, outcome).await,
                }
            }
        };
        if waiting.is_none() {
            // A place is taken by who waits, not by who is answered.
            let Ok(place) = edge.held.try_acquire() else {
                let failure = Failure::new(Kind::TooManyWaiting);
                return fail(connection, failure, errand.reader, errand.record).await;
            };
            waiting = Some((place, Present::waiting()));
        }
        let pause = async {
            tokio::select! {
                () = sleep(LOOK) => {}
                _ = changed.changed() => {}
            }
        };
        let paused = tokio::select! {
            paused = timeout_at(deadline, pause) => paused,
            () = connection.gone() => return After::Cut,
        };
        if paused.is_err() {
            return fail(connection, failure, errand.reader, errand.record).await;
        }
    }
}

/// Whether a body may be more than is held.
pub(crate) fn is_large(body: Framing) -> bool {
    match body {
        Framing::None => false,
        Framing::Length(length) => length > HELD_BODY as u64,
        Framing::Chunked | Framing::UntilClose => true,
    }
}

/// Memory that a held body may come to, in KiB.
fn kib(body: Framing) -> u32 {
    let most = (HELD_BODY / 1024) as u32;
    match body {
        Framing::None => 0,
        Framing::Length(length) => {
            u32::try_from(length / 1024 + 1).map_or(most, |kib| kib.min(most))
        }
        Framing::Chunked | Framing::UntilClose => most,
    }
}

/// A head with its body behind it, counted.
fn whole(mut head: Vec<u8>, body: &[u8], framing: Framing) -> Vec<u8> {
    if framing != Framing::None {
        // Before the empty line.
        head.truncate(head.len() - 2);
        put_length(&mut head, body.len() as u64);
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(body);
    }
    head
}

/// Reads a request's whole body.
async fn collect(connection: &mut Connection, errand: &Errand) -> Result<Vec<u8>, Failure> {
    if let Framing::Length(length) = errand.body
        && length > HELD_BODY as u64
    {
        return Err(Failure::new(Kind::TooLarge));
    }
    let lost = |error: std::io::Error| Failure::new(Kind::BodyLost).because(error);
    if errand.expects && errand.body != Framing::None && connection.inbox.is_empty() {
        let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
        connection.write(go_on).await.map_err(lost)?;
    }
    let mut collected = Vec::new();
    let mut body = Body::from(errand.body);
    loop {
        let bytes = connection.inbox.bytes();
        let used = match &mut body {
            Body::Ended | Body::UntilClose => return Ok(collected),
            Body::Length(left) => {
                let take = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                collected.extend_from_slice(&bytes[..take]);
                *left -= take as u64;
                if *left == 0 {
                    body = Body::Ended;
                }
                take
            }
            Body::Chunked(chunks) => match chunks.next(bytes) {
                Ok(Piece::More) => 0,
                Ok(Piece::Data(length)) => {
                    collected.extend_from_slice(&bytes[..length]);
                    length
                }
                Ok(
                    Piece::Framing(length) | Piece::Extended(length, _) | Piece::Trailer(length),
                ) => length,
                Ok(Piece::End(length)) => {
                    body = Body::Ended;
                    length
                }
                Err(bad) => {
                    return Err(
                        Failure::new(Kind::Malformed("the body's chunks are broken")).because(bad),
                    );
                }
            },
        };
        if collected.len() > HELD_BODY {
            return Err(Failure::new(Kind::TooLarge));
        }
        connection.inbox.consume(used);
        if used == 0 && connection.fill().await.map_err(lost)? == 0 {
            return Err(lost(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
}
