//! Holt's own proxy: its options, and its life from start to drain.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::TaskTracker;

use super::shared::Shared;
use crate::control::{self, Control};
use crate::http::{Edge, Settings};
use crate::table::Routes;
use crate::values;
use crate::workers::Workers;
use crate::{listen, metrics};

/// Between two writes of the routes' last use.
const ACTIVITY_EVERY: Duration = Duration::from_secs(30);
/// Between two looks for what has expired.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Tasks that were told to end may take so long.
const ENDING: Duration = Duration::from_secs(2);

/// Options of Holt's own proxy.
///
/// Listening sockets passed with LISTEN_FDS (from descriptor 3 on) take the place of --listen.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Holt's own proxy")]
pub(super) struct HoltOptions {
    /// Directory for what survives a restart: the route table, activity, revocations. It makes this Holt's own proxy.
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Address to listen on; may be repeated. Sockets passed with LISTEN_FDS take its place.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    listen: Vec<SocketAddr>,
    /// The control socket, `unix:/path`. Default: `control.sock` in the state directory.
    #[arg(long, value_name = "unix:/PATH", value_parser = values::unix_path)]
    control: Option<PathBuf>,
    /// How the log is written; `auto` is text on a terminal and JSON elsewhere.
    #[arg(long, value_enum, default_value_t = LogFormat::Auto)]
    log_format: LogFormat,
    /// What is logged, as `tracing` filters are written: `info`, or `info,holt_proxy=debug`.
    #[arg(long, env = "HOLT_LOG", value_name = "FILTER")]
    log_filter: Option<String>,
    /// So long may a request wait for a server that is on its way.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::duration)]
    pending_wait: Duration,
    /// So long is a server's request to the hub's API held while no hub answers.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = values::duration)]
    hold: Duration,
    /// So long may connections go on after the signal to end.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::duration)]
    drain: Duration,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to give in place of an option of the other mode.
pub(super) fn instead_of(option: &str) -> &'static str {
    match option {
        "--ip" | "--port" | "--socket" => "; Holt's own proxy takes --listen ADDR",
        "--api-ip" | "--api-port" | "--api-socket" => {
            "; Holt's own proxy takes --control unix:/PATH"
        }
        "--log-level" => "; Holt's own proxy takes --log-filter FILTER",
        _ => "",
    }
}

/// Runs the proxy until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// When it cannot start: an address or the control socket is taken, the state directory cannot be used.
pub(super) async fn run(
    state_dir: PathBuf,
    options: HoltOptions,
    shared: &Shared,
) -> anyhow::Result<()> {
    start_log(options.log_format, options.log_filter.as_deref());
    metrics::install();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let routes = Routes::open(&state_dir)
        .with_context(|| format!("the state directory {} cannot be used", state_dir.display()))?;
    let routes = Arc::new(routes);
    let path = options
        .control
        .clone()
        .unwrap_or_else(|| state_dir.join("control.sock"));
    let control_listener = control::bind(&path).await?;
    let doors = listen::public(&options.listen, shared.workers())?;
    let public: Vec<SocketAddr> = doors.iter().filter_map(listen::Door::address).collect();

    let tasks = TaskTracker::new();
    let mut settings = Settings::holt();
    settings.pending_wait = options.pending_wait;
    settings.hold = options.hold;
    shared.apply(&mut settings);
    let edge = Arc::new(Edge::new(
        Arc::clone(&routes.live),
        Arc::clone(&routes.revoked),
        settings,
        tasks.clone(),
    ));
    let internal = Arc::new(Mutex::new(None));
    let control = Arc::new(Control {
        edge: Arc::clone(&edge),
        routes: Arc::clone(&routes),
        public: public.clone(),
        internal: Arc::clone(&internal),
    });
    let workers = Workers::start(&edge, shared.workers(), doors, None, Some(internal))?;
    tasks.spawn(control::serve(control, control_listener, edge.stop.clone()));
    tasks.spawn(keep_house(Arc::clone(&edge), Arc::clone(&routes)));
    tracing::info!(
        ?public,
        control = %path.display(),
        generation = routes.generation(),
        "The proxy is up"
    );

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    drain(&edge, &routes, workers, options.drain).await;
    Ok(())
}

async fn drain(edge: &Arc<Edge>, routes: &Routes, workers: Workers, patience: Duration) {
    tracing::info!(
        "The proxy takes no new connections and ends when the open ones did, or after {patience:?}"
    );
    edge.begin_drain();
    let _ = timeout(patience, edge.emptied()).await;
    let _ = timeout(ENDING, edge.end_all()).await;
    workers.ended().await;
    edge.tasks.close();
    if timeout(ENDING, edge.tasks.wait()).await.is_err() {
        tracing::warn!(tasks = edge.tasks.len(), "Some tasks did not end in time");
    }
    if let Err(error) = routes.save_activity() {
        tracing::warn!(%error, "The routes' last use could not be written");
    }
    tracing::info!("The proxy has ended");
}

/// What must be done from time to time.
async fn keep_house(edge: Arc<Edge>, routes: Arc<Routes>) {
    let mut sweep = interval(SWEEP_EVERY);
    let mut activity = interval(ACTIVITY_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    activity.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = edge.stop.cancelled() => return,
            _ = sweep.tick() => edge.revoked.expire(),
            _ = activity.tick() => {
                let routes = Arc::clone(&routes);
                let saved = edge.tasks.spawn_blocking(move || routes.save_activity()).await;
                if let Ok(Err(error)) = saved {
                    tracing::warn!(%error, "The routes' last use could not be written");
                }
            }
        }
    }
}

/// A hub that set up the log before keeps its own.
fn start_log(format: LogFormat, filter: Option<&str>) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = filter
        .and_then(|filter| EnvFilter::try_new(filter).ok())
        .unwrap_or_else(|| EnvFilter::new("info"));
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    // A closed standard error must not end the proxy: so failed writes are not reported there either.
    let log = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let started = if json {
        log.json().flatten_event(true).try_init()
    } else {
        log.try_init()
    };
    if started.is_err() {
        tracing::debug!("The log was set up before");
    }
}
