//! The life of the process: everything is bound before anything is served, and a signal ends it at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;

use super::api::Api;
use super::listeners::{SocketFile, shown};
use super::metrics::{Counts, Shown};
use super::options::Options;
use super::plan::Plan;
use super::routes::Routes;
use super::serve::Server;
use super::{StartError, log};
use crate::http::{Edge, Settings};
use crate::table::Revoked;
use crate::workers::Workers;

/// Between two writes of the routes' last use, where routes are kept in a file.
const ACTIVITY_EVERY: Duration = Duration::from_secs(30);

/// Runs until the process is told to end; then it is to end at once.
///
/// # Errors
/// When it cannot start. No browser was served then.
pub(crate) async fn run(
    options: &Options,
    mut settings: Settings,
    workers: usize,
) -> Result<(), StartError> {
    let level = &options.listening.log_level;
    let level = log::level(level).ok_or_else(|| {
        let words = format!("--log-level '{level}' is none of debug, info, warn and error");
        StartError::Options(words)
    })?;
    log::start(level);
    crate::metrics::install();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let plan = Plan::read(options, &mut settings)?;
    if plan.token.is_none() {
        tracing::warn!(target: log::TARGET, "REST API is not authenticated.");
    }
    if let Some(target) = &plan.default_target {
        add_default(&plan.routes, target).await?;
    }
    let files = start(plan, settings, workers)?;

    let word = tokio::select! {
        _ = terminate.recv() => "Terminated",
        _ = interrupt.recv() => "Interrupted",
        () = keep_activity(Arc::clone(&files.routes)) => "Nothing to keep",
    };
    tracing::warn!(target: log::TARGET, "{word}");
    files.leave();
    Ok(())
}

async fn add_default(routes: &Arc<Routes>, target: &str) -> Result<(), StartError> {
    tracing::info!(target: log::TARGET, "Adding route / -> {target}");
    routes
        .add_target("/", target)
        .map_err(|error| StartError::Options(format!("--default-target: {error}")))?;
    routes.kept().await?;
    tracing::info!(target: log::TARGET, "Route added / -> {target}");
    Ok(())
}

/// Binds every listener, then serves by all of them.
fn start(plan: Plan, settings: Settings, count: usize) -> Result<Left, StartError> {
    let public = plan.public.open("--ip, --port, --socket", count)?;
    let api = plan.api.open("--api-ip, --api-port, --api-socket", 1)?;
    let metrics = match &plan.metrics {
        Some(place) => Some((
            place,
            place.open("--metrics-ip, --metrics-port, --metrics-socket", 1)?,
        )),
        None => None,
    };
    let redirect = match plan.redirect {
        Some((place, redirect)) => Some((place.open("--redirect-port", 1)?, place, redirect)),
        None => None,
    };
    let places = [Some(&plan.public), Some(&plan.api), plan.metrics.as_ref()];
    let sockets = places.into_iter().flatten().filter_map(SocketFile::of);
    let sockets = sockets.collect();

    let scheme = |secure: bool| if secure { "https" } else { "http" };
    let to = plan.default_target.as_deref().unwrap_or("(no default)");
    let mut banner = vec![
        format!(
            "Proxying {}://{} to {to}",
            scheme(plan.public_tls.is_some()),
            shown(&plan.public, &public)
        ),
        format!(
            "Proxy API at {}://{}/api/routes",
            scheme(plan.api_tls.is_some()),
            shown(&plan.api, &api)
        ),
    ];

    let tasks = TaskTracker::new();
    let edge = Arc::new(Edge::new(
        Arc::clone(&plan.routes.live),
        Arc::new(Revoked::default()),
        settings,
        tasks.clone(),
    ));
    let stop = edge.stop.clone();
    let counts = Arc::new(Counts::default());
    let answering = Api {
        routes: Arc::clone(&plan.routes),
        token: plan.token,
        counts: Arc::clone(&counts),
    };
    let mut server = Server::new(Arc::new(answering), tasks.clone(), stop.clone());
    server.tls = plan.api_tls;
    server.start(api)?;
    if let Some((place, doors)) = metrics {
        banner.push(format!(
            "Serve metrics at http://{}/metrics",
            shown(place, &doors)
        ));
        Server::new(Arc::new(Shown(counts)), tasks.clone(), stop.clone()).start(doors)?;
    }
    if let Some((doors, place, redirect)) = redirect {
        let from = shown(&place, &doors);
        let from = from.rsplit(':').next().unwrap_or_default();
        let to = redirect.to;
        banner.push(format!(
            "Added HTTP to HTTPS redirection from {from} to {to}"
        ));
        Server::new(Arc::new(redirect), tasks.clone(), stop).start(doors)?;
    }
    for line in banner {
        tracing::info!(target: log::TARGET, "{line}");
    }
    if let Some(path) = &plan.pid_file {
        write_pid(path)?;
    }
    let workers = Workers::start(&edge, count, public, plan.public_tls, None)?;
    Ok(Left {
        routes: plan.routes,
        pid_file: plan.pid_file,
        _sockets: sockets,
        _edge: edge,
        _workers: workers,
    })
}

fn write_pid(path: &Path) -> Result<(), StartError> {
    let pid = std::process::id();
    tracing::info!(target: log::TARGET, "Writing pid {pid} to {}", path.display());
    std::fs::write(path, pid.to_string()).map_err(|cause| StartError::File {
        option: "--pid-file",
        path: path.to_path_buf(),
        cause,
    })
}

/// Writes down when routes were last used, from time to time.
async fn keep_activity(routes: Arc<Routes>) {
    let mut every = interval(ACTIVITY_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let routes = Arc::clone(&routes);
        let kept = tokio::task::spawn_blocking(move || routes.keep_activity()).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(target: log::TARGET, "The routes' last use could not be written: {error}");
        }
    }
}

/// What the process leaves behind unless it clears up.
struct Left {
    routes: Arc<Routes>,
    pid_file: Option<PathBuf>,
    _sockets: Vec<SocketFile>,
    _edge: Arc<Edge>,
    _workers: Workers,
}

impl Left {
    /// Clears up; the socket files go with it.
    fn leave(self) {
        if let Err(error) = self.routes.keep_activity() {
            tracing::warn!(target: log::TARGET, "The routes' last use could not be written: {error}");
        }
        if let Some(path) = &self.pid_file {
            tracing::debug!(target: log::TARGET, "Removing {}", path.display());
            if let Err(error) = std::fs::remove_file(path) {
                tracing::warn!(target: log::TARGET, "{} stays: {error}", path.display());
            }
        }
    }
}
