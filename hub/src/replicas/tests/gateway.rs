//! A gateway that only pretends: it keeps what it is given and told, on a real socket.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use holt_spec::replicas::{
    Accepted, Grants, Refused, Revoked, Section, Statement, Statements, Status,
};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

/// What it remembers.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) grants: Grants,
    pub(crate) pushes: usize,
    pub(crate) revoked: Vec<String>,
    pub(crate) statements: Vec<Statement>,
    pub(crate) ended: Vec<String>,
    pub(crate) databases: BTreeMap<String, String>,
}

/// It. Dropping it ends it, as `kill -9` would.
pub(crate) struct Gateway {
    memory: Arc<Mutex<Memory>>,
    socket: PathBuf,
    stop: CancellationToken,
}

impl Gateway {
    /// One that answers on the socket.
    pub(crate) fn start(socket: &Path) -> Self {
        let gateway = Self {
            memory: Arc::default(),
            socket: socket.to_owned(),
            stop: CancellationToken::new(),
        };
        let listener = UnixListener::bind(socket).expect("the directory is there");
        let router = Router::new()
            .route("/holt/replicas/grants", put(take).get(tell))
            .route("/holt/replicas/revocations", post(revoke))
            .route("/holt/replicas/statements", get(statements))
            .route("/holt/replicas/statements/{id}", delete(end))
            .route("/holt/replicas/status", get(status))
            .with_state(gateway.memory.clone());
        let stopped = gateway.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                _ = axum::serve(listener, router) => {}
            }
        });
        gateway
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory
            .lock()
            .expect("no test panics while it holds it")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = std::fs::remove_file(&self.socket);
    }
}

type Kept = State<Arc<Mutex<Memory>>>;

async fn take(State(kept): Kept, Json(grants): Json<Grants>) -> Response {
    let mut memory = kept.lock().expect("no test panics while it holds it");
    let generation = memory.grants.generation;
    if generation > grants.generation {
        let refused = Refused {
            generation,
            message: "older".to_owned(),
        };
        return (StatusCode::CONFLICT, Json(refused)).into_response();
    }
    memory.pushes += 1;
    memory.grants = grants;
    let generation = memory.grants.generation;
    Json(Accepted { generation }).into_response()
}

async fn tell(State(kept): Kept) -> Json<Accepted> {
    let memory = kept.lock().expect("no test panics while it holds it");
    let generation = memory.grants.generation;
    Json(Accepted { generation })
}

async fn revoke(State(kept): Kept, Json(revoked): Json<Revoked>) -> StatusCode {
    let mut memory = kept.lock().expect("no test panics while it holds it");
    memory.revoked.extend(revoked.launches);
    StatusCode::NO_CONTENT
}

async fn statements(State(kept): Kept) -> Json<Statements> {
    let memory = kept.lock().expect("no test panics while it holds it");
    let statements = memory.statements.clone();
    Json(Statements { statements })
}

async fn end(State(kept): Kept, UrlPath(id): UrlPath<String>) -> StatusCode {
    let mut memory = kept.lock().expect("no test panics while it holds it");
    let before = memory.statements.len();
    memory.statements.retain(|statement| statement.id != id);
    if memory.statements.len() == before {
        return StatusCode::NOT_FOUND;
    }
    memory.ended.push(id);
    StatusCode::NO_CONTENT
}

async fn status(State(kept): Kept) -> Json<Status> {
    let memory = kept.lock().expect("no test panics while it holds it");
    let section = |up, lag_seconds| Section {
        up,
        lag_seconds,
        stale: up && lag_seconds.is_none(),
        backends: Vec::new(),
    };
    Json(Status {
        generation: memory.grants.generation,
        listen: Vec::new(),
        connections: 0,
        sections: BTreeMap::from([
            ("s1".to_owned(), section(true, Some(0.5))),
            ("s5".to_owned(), section(true, Some(75.0))),
            ("s7".to_owned(), section(true, None)),
            ("s8".to_owned(), section(false, None)),
        ]),
        databases: memory.databases.clone(),
    })
}

/// A statement of that user's default server.
pub(crate) fn statement(id: &str, user: i64, name: &str) -> Statement {
    Statement {
        id: id.to_owned(),
        user,
        name: name.to_owned(),
        server: String::new(),
        launch: "l".to_owned(),
        section: "s1".to_owned(),
        database: Some("enwiki_p".to_owned()),
        text: format!("SELECT '<{name}>'"),
        age_ms: 61_000,
        rows: Some(7),
        bytes: 2048,
    }
}
