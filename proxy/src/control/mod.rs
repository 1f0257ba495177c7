//! The control API on a Unix socket: the hub tells the routes, and asks how things are.
//!
//! What a request may carry and what it is answered with stands in `holt_spec::control`. `GET /metrics` is served beside it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, io};

use bytes::Bytes;
use holt_spec::control::{
    ACTIVITY_PATH, Accepted, CHANGES_PATH, InternalStatus, REVOCATIONS_PATH, Refused, Revocations,
    STATUS_PATH, Status, TABLE_PATH,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::os::unix::fs::PermissionsExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::Edge;
use crate::table::{Routes, TableError};

/// The largest body: some hundred thousand routes.
const LARGEST: usize = 64 << 20;
/// A body must be whole in so long.
const BODY: Duration = Duration::from_secs(30);
/// A live proxy behind an old socket answers in so long.
const PROBE: Duration = Duration::from_secs(1);
/// Websockets of a revoked session are closed in so long.
const CLOSING: Duration = Duration::from_secs(1);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// Two proxies on one socket would undo each other.
    #[error("another proxy answers on {}", .0.display())]
    Taken(PathBuf),
    /// The file system said no.
    #[error("no control socket can be made at {}", .path.display())]
    Bind {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// What the control API tells beside the table.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) edge: Arc<Edge>,
    pub(crate) routes: Arc<Routes>,
    /// Where the public listeners are.
    pub(crate) public: Vec<SocketAddr>,
    /// How the internal listener is; written by its keeper.
    pub(crate) internal: Arc<Mutex<Option<InternalStatus>>>,
}

/// Makes the control socket: a stale one is replaced, a living one respected.
///
/// It is made under another name and renamed, so that nobody finds it with wider permissions or half made.
pub(crate) async fn bind(path: &Path) -> Result<UnixListener, ControlError> {
    if matches!(timeout(PROBE, UnixStream::connect(path)).await, Ok(Ok(_))) {
        return Err(ControlError::Taken(path.to_path_buf()));
    }
    let fresh = path.with_extension(format!("{}", std::process::id()));
    let make = || -> io::Result<UnixListener> {
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
        fs::rename(&fresh, path)?;
        Ok(listener)
    };
    make().map_err(|cause| ControlError::Bind {
        path: path.to_path_buf(),
        cause,
    })
}

/// Serves until it is told to stop.
pub(crate) async fn serve(control: Arc<Control>, listener: UnixListener, stop: CancellationToken) {
    let tasks = control.edge.tasks.clone();
    serve_with(listener, tasks, stop, move |request| {
        let control = Arc::clone(&control);
        async move { answer(&control, request).await }
    })
    .await;
}

/// Answers each request by `answer`, until it is told to stop.
pub(crate) async fn serve_with<A, F>(
    listener: UnixListener,
    tasks: TaskTracker,
    stop: CancellationToken,
    answer: A,
) where
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "The control socket takes no connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let answer = answer.clone();
        let stop = stop.clone();
        tasks.spawn(async move {
            let service = service_fn(|request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "A control connection ended early");
                },
                () = stop.cancelled() => {}
            }
        });
    }
}

/// What is answered.
pub(crate) type Answer = Response<Full<Bytes>>;

async fn answer(control: &Arc<Control>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, TABLE_PATH) => control
            .routes
            .with_table(|table| json(StatusCode::OK, table)),
        (&Method::PUT, TABLE_PATH) => {
            let table = match read(request).await {
                Ok(table) => table,
                Err(answer) => return answer,
            };
            let routes = Arc::clone(&control.routes);
            taken(control, move || routes.replace(table)).await
        }
        (&Method::POST, CHANGES_PATH) => {
            let changes = match read(request).await {
                Ok(changes) => changes,
                Err(answer) => return answer,
            };
            let routes = Arc::clone(&control.routes);
            taken(control, move || routes.change(changes)).await
        }
        (&Method::GET, ACTIVITY_PATH) => json(StatusCode::OK, &control.routes.activity()),
        (&Method::GET, STATUS_PATH) => json(StatusCode::OK, &status(control)),
        (&Method::POST, REVOCATIONS_PATH) => match read(request).await {
            Ok(revocations) => revoke(control, &revocations).await,
            Err(answer) => answer,
        },
        (&Method::GET, "/metrics") => prometheus(crate::metrics::render()),
        (
            _,
            TABLE_PATH | CHANGES_PATH | ACTIVITY_PATH | STATUS_PATH | REVOCATIONS_PATH | "/metrics",
        ) => refuse(
            control,
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not take this method",
        ),
        _ => refuse(
            control,
            StatusCode::NOT_FOUND,
            "the control API has no such path",
        ),
    }
}

/// The body of a request.
///
/// # Errors
/// The answer that refuses it.
pub(crate) async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Answer> {
    let refuse = |status, message: String| {
        let body = serde_json::json!({ "status": status, "message": message });
        json(
            StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
            &body,
        )
    };
    let body = timeout(BODY, Limited::new(request.into_body(), LARGEST).collect())
        .await
        .map_err(|_| refuse(408, "the body did not come in time".into()))?
        .map_err(|error| refuse(400, format!("the body could not be read: {error}")))?;
    serde_json::from_slice(&body.to_bytes())
        .map_err(|error| refuse(400, format!("the body makes no sense: {error}")))
}

/// Runs a change of the table where it may block, and answers.
async fn taken(
    control: &Control,
    change: impl FnOnce() -> Result<u64, TableError> + Send + 'static,
) -> Answer {
    let done = control.edge.tasks.spawn_blocking(change).await;
    match done {
        Ok(Ok(generation)) => json(StatusCode::OK, &Accepted { generation }),
        Ok(Err(error @ (TableError::Generation { .. } | TableError::Differs { .. }))) => {
            refuse(control, StatusCode::CONFLICT, &error.to_string())
        }
        Ok(Err(error @ TableError::Bad(_))) => {
            refuse(control, StatusCode::BAD_REQUEST, &error.to_string())
        }
        Ok(Err(error @ TableError::Disk(_))) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(
                cause,
                "The route table is in force but could not be written to disk"
            );
            refuse(
                control,
                StatusCode::INSUFFICIENT_STORAGE,
                &error.to_string(),
            )
        }
        Err(error) => {
            tracing::error!(%error, "A change of the route table did not end");
            refuse(
                control,
                StatusCode::INTERNAL_SERVER_ERROR,
                "the change did not end",
            )
        }
    }
}

async fn revoke(control: &Control, revocations: &Revocations) -> Answer {
    let edge = &control.edge;
    let revoked = match edge.revoked.add(revocations) {
        Ok(revoked) => revoked,
        Err(message) => {
            let body = serde_json::json!({ "status": 400, "message": message });
            return json(StatusCode::BAD_REQUEST, &body);
        }
    };
    // In force before they are on disk: forgetting must be quick.
    if timeout(CLOSING, edge.websockets.close(&revoked))
        .await
        .is_err()
    {
        tracing::warn!("Websockets of a revoked session were told to close and have not");
    }
    let routes = Arc::clone(&control.routes);
    match edge
        .tasks
        .spawn_blocking(move || routes.save_revoked())
        .await
    {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "Revocations are in force but not on disk"),
        Err(error) => tracing::warn!(%error, "Revocations are in force but not on disk"),
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn status(control: &Control) -> Status {
    Status {
        generation: control.routes.generation(),
        public: control.public.clone(),
        internal: control
            .internal
            .lock()
            .expect("no panic under this lock")
            .clone(),
        websockets: control.edge.websockets.count() as u64,
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn refuse(control: &Control, status: StatusCode, message: &str) -> Answer {
    let refused = Refused {
        generation: control.routes.generation(),
        message: message.to_owned(),
    };
    json(status, &refused)
}

/// Metrics, as Prometheus reads them.
pub(crate) fn prometheus(text: String) -> Answer {
    let mut response = Response::new(Full::from(text));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// An answer with a body.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
