//! The story of a request: normalize it, find its route, forward it or let it become a websocket, answer, record.

use std::sync::Arc;

use super::buffers::take_head;
use super::connection::{After, Connection, Keep};
use super::failure::{Failure, Kind};
use super::fields::Field;
use super::forward::{Errand, forward, forward_held, is_large};
use super::framing::Framing;
use super::head::{Method, RequestHead, read_request, space};
use super::headers::{Changes, write_request};
use super::normalize::{Visit, is_hub_api, normalize};
use super::record::Record;
use super::respond::{self, Asked, Reader};
use super::route::{self, Found, Place, Way};
use super::{Client, Edge, Listener, STAND_IN_LOG};
use crate::table::{Hash, TooManyCredentials, credentials};

/// Where notebooks reach wikis.
const BROKER: &str = "/hub/api/broker";

/// Carries the request whose head is at the front of the inbox, and tells what becomes of the connection.
pub(crate) async fn handle(connection: &mut Connection, length: usize) -> After {
    loop {
        let bytes = &connection.inbox.bytes()[..length];
        match decide(&connection.edge, &connection.client, bytes) {
            Decision::Carry(errand) => {
                connection.inbox.consume(length);
                return forward(connection, errand).await;
            }
            Decision::Hold(errand) => {
                connection.inbox.consume(length);
                return forward_held(connection, errand).await;
            }
            Decision::Wait(pending) => {
                let edge = Arc::clone(&connection.edge);
                let (host, path) = (pending.host.as_deref(), &pending.path);
                let waited = tokio::select! {
                    waited = route::wait(&edge, host, path) => waited,
                    () = connection.gone() => return After::Cut,
                };
                // One that sent a lot ahead could not be watched meanwhile.
                if connection.socket.has_ended() {
                    return After::Cut;
                }
                if let Err(failure) = waited {
                    connection.inbox.consume(length);
                    return fail(connection, failure, pending.reader, pending.record).await;
                }
            }
            Decision::Answer(answer, keep) => {
                connection.inbox.consume(length);
                return connection.answer(&answer, keep).await;
            }
            Decision::Refuse(failure, reader, record) => {
                connection.inbox.consume(length);
                return fail(connection, failure, reader, record).await;
            }
        }
    }
}

/// Tells the client why its request was not carried.
pub(crate) async fn fail(
    connection: &mut Connection,
    failure: Failure,
    mut reader: Reader,
    record: Record,
) -> After {
    tracing::debug!(%failure, side = ?failure.side, phase = ?failure.phase, "A request was not carried");
    // Who wanted a websocket has no other use for the connection.
    reader.keep &= !failure.closes() && !reader.websocket;
    let (status, answer) = respond::failure(&failure, &reader, &connection.edge.settings).await;
    record.finished(status, true);
    if let Some(asked) = &reader.asked {
        let why = source_of(&failure);
        tracing::error!(target: STAND_IN_LOG, "{status} {} {why}", asked.shown());
    }
    connection.answer(&answer, reader.keep.into()).await
}

/// The last cause of a failure, which says what the system said.
fn source_of(failure: &Failure) -> String {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(failure);
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    cause.map(ToString::to_string).unwrap_or_default()
}

/// What is to be done with a request.
enum Decision {
    Carry(Errand),
    /// Carried to a hub, and held while there is none.
    Hold(Errand),
    Wait(Pending),
    /// An answer of our own, and whether the connection goes on.
    Answer(Vec<u8>, Keep),
    Refuse(Failure, Reader, Record),
}

/// A request whose server is on its way.
struct Pending {
    host: Option<Box<str>>,
    path: Box<str>,
    reader: Reader,
    record: Record,
}

/// Decides on a head, without waiting for anything.
fn decide(edge: &Edge, client: &Client, bytes: &[u8]) -> Decision {
    let mut space = space();
    let head = match read_request(bytes, &mut space) {
        Ok(head) => head,
        Err(bad) => {
            let record = Record::begin("-", "-", client.listener);
            return Decision::Refuse(bad.into(), Reader::default(), record);
        }
    };
    let path = head.target.split('?').next().unwrap_or_default();
    let record = Record::begin(head.method_name, path, client.listener);
    let visit = match normalize(&head) {
        Ok(visit) => visit,
        Err(failure) => {
            let reader = Reader {
                head_only: head.method == Method::Head,
                asked: asked(edge, &head),
                ..Reader::default()
            };
            return Decision::Refuse(failure, reader, record);
        }
    };
    match decide_visit(edge, client, &head, &visit, record) {
        Ok(decision) => decision,
        Err((failure, record)) => Decision::Refuse(failure, reader(edge, &head, &visit), record),
    }
}

fn decide_visit(
    edge: &Edge,
    client: &Client,
    head: &RequestHead<'_, '_>,
    visit: &Visit<'_>,
    mut record: Record,
) -> Result<Decision, (Failure, Record)> {
    if client.listener == Listener::Internal {
        if visit.websocket || !is_hub_api(visit.path) {
            return Err((Failure::new(Kind::NotTheApi), record));
        }
        let way = Way::Hub(Arc::clone(&edge.live.now().hubs));
        record.routed(&way);
        // What a notebook sends to a wiki may be larger than what can be held: it streams, and is told when no hub answers.
        let held = !(visit.path == BROKER && is_large(visit.said.of_request()));
        let errand = errand(
            edge,
            client,
            head,
            visit,
            way,
            None,
            Vec::new(),
            record,
            held,
        );
        return Ok(if held {
            Decision::Hold(errand)
        } else {
            Decision::Carry(errand)
        });
    }
    if let Some(answer) = answer_here(edge, head, visit) {
        return Ok(answer);
    }
    if let Err(failure) = check_origin(edge, visit) {
        return Err((failure, record));
    }
    crate::metrics::carried(visit.websocket);
    let timing = crate::metrics::time_lookup();
    let found = route::look(edge, visit.host, visit.path);
    crate::metrics::looked_up(timing);
    let way = match found {
        Ok(Found::Way(way)) => way,
        // A person goes to the hub at once, which shows the start page; anything else waits.
        Ok(Found::Pending) if visit.navigation => Way::Hub(Arc::clone(&edge.live.now().hubs)),
        Ok(Found::Pending) => {
            return Ok(Decision::Wait(Pending {
                host: visit.host.map(Into::into),
                path: visit.path.into(),
                reader: reader(edge, head, visit),
                record,
            }));
        }
        Err(failure) => return Err((failure, record)),
    };
    record.routed(&way);
    let (cookies, credentials) = match check_revoked(edge, &way, head, visit) {
        Ok(checked) => checked,
        Err(failure) => return Err((failure, record)),
    };
    Ok(Decision::Carry(errand(
        edge,
        client,
        head,
        visit,
        way,
        cookies,
        credentials,
        record,
        false,
    )))
}

/// What the proxy answers without asking anybody.
fn answer_here(edge: &Edge, head: &RequestHead<'_, '_>, visit: &Visit<'_>) -> Option<Decision> {
    let reader = || reader(edge, head, visit);
    if visit.target == "*" {
        let reader = reader();
        return Some(Decision::Answer(
            respond::options(&reader),
            reader.keep.into(),
        ));
    }
    if edge.settings.health == Some(visit.target) && !visit.websocket {
        let reader = reader();
        return Some(Decision::Answer(
            respond::health(&reader),
            reader.keep.into(),
        ));
    }
    None
}

/// Whether the page that opens a websocket may; where that is not settled here, it is the server's business.
fn check_origin(edge: &Edge, visit: &Visit<'_>) -> Result<(), Failure> {
    let (Some(allowed), true, Some(origin)) =
        (&edge.settings.origins, visit.websocket, visit.origin)
    else {
        return Ok(());
    };
    let is_allowed = allowed
        .iter()
        .any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin));
    if is_allowed {
        Ok(())
    } else {
        Err(Failure::new(Kind::Origin))
    }
}

/// Refuses what was signed out; gives back the cookies that are to be sent instead, and the credentials that a websocket must be
/// closed by later.
///
/// Only for servers, which remember for minutes who may enter; the hub itself knows. A server's own cookie that was signed out is
/// taken away instead: then the server asks the hub who comes.
fn check_revoked(
    edge: &Edge,
    way: &Way,
    head: &RequestHead<'_, '_>,
    visit: &Visit<'_>,
) -> Result<(Option<Vec<u8>>, Vec<Hash>), Failure> {
    let revoked = &edge.revoked;
    // In place of configurable-http-proxy nobody can revoke anything.
    let needless = revoked.is_empty() && (!visit.websocket || edge.settings.stand_in);
    if matches!(way, Way::Hub(_)) || needless {
        return Ok((None, Vec::new()));
    }
    let query = visit.target[visit.path.len()..].trim_start_matches('?');
    let lines = |field| {
        let lines = head.lines.iter().filter(move |line| line.field == field);
        lines.map(|line| line.value)
    };
    let left = revoked.cookies_left(lines(Field::Cookie));
    let cookies: Vec<&[u8]> = match &left {
        Some(left) => vec![left],
        None => lines(Field::Cookie).collect(),
    };
    let credentials = credentials(lines(Field::Authorization), cookies.into_iter(), query)
        .map_err(|TooManyCredentials| {
            Failure::new(Kind::Malformed("the request carries too many credentials"))
        })?;
    if revoked.holds(&credentials) {
        return Err(Failure::new(Kind::Revoked));
    }
    Ok((left, credentials))
}

#[expect(
    clippy::too_many_arguments,
    reason = "all that is known of a request, put together once"
)]
fn errand(
    edge: &Edge,
    client: &Client,
    head: &RequestHead<'_, '_>,
    visit: &Visit<'_>,
    way: Way,
    cookies: Option<Vec<u8>>,
    credentials: Vec<Hash>,
    record: Record,
    held: bool,
) -> Errand {
    let changes = Changes {
        to: match &way {
            Way::Server(leaf, target) => Some((leaf, target)),
            Way::Hub(_) => None,
        },
        cookies,
        held,
    };
    let mut message = take_head();
    write_request(&mut message, head, visit, &changes, client, &edge.settings);
    let settings = &edge.settings;
    let rewrites = settings.auto_rewrite || settings.protocol_rewrite.is_some();
    Errand {
        head: message,
        body: visit.said.of_request(),
        method: head.method,
        expects: visit.expects,
        host: visit.host.filter(|_| rewrites).map(Into::into),
        reader: reader(edge, head, visit),
        websocket: visit.websocket,
        keep: visit.keep && !edge.is_draining(),
        place: Place::default(),
        credentials,
        way,
        record,
    }
}

fn reader(edge: &Edge, head: &RequestHead<'_, '_>, visit: &Visit<'_>) -> Reader {
    Reader {
        person: visit.navigation.then(|| visit.path.into()),
        asked: asked(edge, head),
        head_only: head.method == Method::Head,
        old: head.old,
        websocket: visit.websocket,
        // A body that nobody read stands before the next request.
        keep: visit.keep && visit.said.of_request() == Framing::None,
    }
}

/// What was asked for, in the words of the request, where somebody is told of it.
fn asked(edge: &Edge, head: &RequestHead<'_, '_>) -> Option<Asked> {
    let told = edge.settings.stand_in;
    told.then(|| Asked::new(head.method_name, head.target))
}
