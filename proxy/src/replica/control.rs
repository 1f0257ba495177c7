//! The control API of the gateway on its Unix socket, as `holt_spec::replicas` has it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holt_spec::replicas::{
    Accepted, DRAINING_PATH, Draining, GRANTS_PATH, Grants, REVOCATIONS_PATH, Refused, Revoked,
    STATEMENTS_PATH, STATUS_PATH, Statements, Status, USAGE_PATH,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::Gateway;
use super::grants::GrantsError;
use super::sessions::Order;
use crate::control::{Answer, json, prometheus, read};

/// Connections of a launch that ended are gone in so long.
const CLOSING: Duration = Duration::from_secs(5);

pub(super) async fn answer(gateway: &Arc<Gateway>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, GRANTS_PATH) => {
            let generation = gateway.gate.generation();
            json(StatusCode::OK, &Accepted { generation })
        }
        (&Method::PUT, GRANTS_PATH) => match read::<Grants>(request).await {
            Ok(grants) => put(gateway, grants).await,
            Err(answer) => answer,
        },
        (&Method::POST, REVOCATIONS_PATH) => match read::<Revoked>(request).await {
            Ok(revoked) => revoke(gateway, revoked).await,
            Err(answer) => answer,
        },
        (&Method::GET, STATEMENTS_PATH) => {
            let statements = gateway.sessions.running();
            json(StatusCode::OK, &Statements { statements })
        }
        (&Method::GET, STATUS_PATH) => json(StatusCode::OK, &status(gateway)),
        (&Method::GET, USAGE_PATH) => json(StatusCode::OK, &gateway.usage.tell()),
        (&Method::POST, DRAINING_PATH) => match read::<Draining>(request).await {
            Ok(draining) => drain(gateway, &draining),
            Err(answer) => answer,
        },
        (&Method::GET, "/metrics") => prometheus(super::metrics::render(gateway)),
        (&Method::DELETE, path) => match path
            .strip_prefix(STATEMENTS_PATH)
            .and_then(|rest| rest.strip_prefix('/'))
        {
            Some(id) if id.parse().is_ok_and(|id| gateway.sessions.stop(id)) => nothing(),
            Some(_) => refuse(gateway, StatusCode::NOT_FOUND, "the statement is over"),
            None => refuse(
                gateway,
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take this method",
            ),
        },
        (
            _,
            GRANTS_PATH | REVOCATIONS_PATH | STATEMENTS_PATH | STATUS_PATH | USAGE_PATH
            | DRAINING_PATH | "/metrics",
        ) => refuse(
            gateway,
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not take this method",
        ),
        _ => refuse(
            gateway,
            StatusCode::NOT_FOUND,
            "the control API has no such path",
        ),
    }
}

async fn put(gateway: &Arc<Gateway>, grants: Grants) -> Answer {
    let listen = grants.listen;
    match gateway.gate.put(grants) {
        Ok(generation) => {
            gateway.wanted.send_if_modified(|wanted| {
                let is_new = *wanted != listen;
                *wanted = listen;
                is_new
            });
            // Who is not among them any more leaves.
            end_all(gateway, |_| true).await;
            json(StatusCode::OK, &Accepted { generation })
        }
        Err(error @ GrantsError::Old(_)) => {
            refuse(gateway, StatusCode::CONFLICT, &error.to_string())
        }
        Err(error @ GrantsError::Nonsense(_)) => {
            refuse(gateway, StatusCode::BAD_REQUEST, &error.to_string())
        }
    }
}

async fn revoke(gateway: &Arc<Gateway>, revoked: Revoked) -> Answer {
    let launches: HashSet<String> = revoked.launches.into_iter().collect();
    gateway.gate.revoke(&launches);
    if end_all(gateway, |launch| launches.contains(launch)).await {
        nothing()
    } else {
        refuse(
            gateway,
            StatusCode::GATEWAY_TIMEOUT,
            "connections were told to end and have not; ask again",
        )
    }
}

/// Ends sessions without a grant in force, of these launches.
async fn end_all(gateway: &Gateway, of: impl Fn(&str) -> bool) -> bool {
    gateway
        .sessions
        .end(Order::EndRevoked, CLOSING, |session| {
            of(&session.granted.grant.launch) && !gateway.gate.holds(&session.granted)
        })
        .await
}

fn drain(gateway: &Gateway, draining: &Draining) -> Answer {
    if super::draining::set(gateway, &draining.address, draining.draining) {
        if let Err(error) = super::draining::keep(gateway) {
            tracing::warn!(%error, "A replica server's draining is in force but could not be kept");
        }
        tracing::info!(
            backend = draining.address,
            draining = draining.draining,
            "A replica server's draining was changed"
        );
        nothing()
    } else {
        refuse(
            gateway,
            StatusCode::NOT_FOUND,
            "there is no backend at this address",
        )
    }
}

fn status(gateway: &Gateway) -> Status {
    Status {
        generation: gateway.gate.generation(),
        listen: gateway.listening(),
        connections: gateway.sessions.count() as u64,
        sections: gateway
            .sections
            .all
            .iter()
            .map(|section| (section.name.to_string(), section.status()))
            .collect(),
        databases: gateway.sections.databases(),
    }
}

fn nothing() -> Answer {
    let mut response = Response::new(Full::<Bytes>::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn refuse(gateway: &Gateway, status: StatusCode, message: &str) -> Answer {
    let refused = Refused {
        generation: gateway.gate.generation(),
        message: message.to_owned(),
    };
    json(status, &refused)
}
