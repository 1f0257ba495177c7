//! The role `holt proxy`: its command line, and its life from start to drain.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use ipnet::IpNet;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::TaskTracker;

use crate::control::{self, Control};
use crate::http::{Edge, Settings};
use crate::table::Routes;
use crate::{listen, metrics};

/// Between two writes of the routes' last use.
const ACTIVITY_EVERY: Duration = Duration::from_secs(30);
/// Between two looks for what has expired.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Requests that may wait for a server or a hub at one time.
const MOST_WAITING: usize = 4096;
/// Tasks that were told to end may take so long.
const ENDING: Duration = Duration::from_secs(2);

/// Holt's data plane: carries browsers to notebook servers.
///
/// Listening sockets passed with LISTEN_FDS (from descriptor 3 on) take the place of --listen.
#[derive(Debug, Clone, Parser)]
#[command(name = "holt-proxy", version)]
pub struct Args {
    /// Address to listen on; may be repeated. Not used when listening sockets are passed.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    pub listen: Vec<SocketAddr>,
    /// The control socket, `unix:/path`. Default: `control.sock` in the state directory.
    #[arg(long, value_name = "unix:/PATH", value_parser = control_path)]
    pub control: Option<PathBuf>,
    /// Directory for what survives a restart: the route table, activity, revocations.
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
    /// How the log is written; `auto` is text on a terminal and JSON elsewhere.
    #[arg(long, value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
    /// What is logged, as `tracing` filters are written: `info`, or `info,holt_proxy=debug`.
    #[arg(long, env = "HOLT_LOG", value_name = "FILTER")]
    pub log_filter: Option<String>,
    /// Networks of proxies in front whose X-Forwarded headers are believed.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub trusted_proxies: Vec<IpNet>,
    /// Listeners for each address, so that connections spread over the cores. Default: one for each core.
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// So long may a request wait for a server that is on its way.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub pending_wait: Duration,
    /// So long is a server's request to the hub's API held while no hub answers.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub hold: Duration,
    /// So long may connections go on after the signal to end.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub drain: Duration,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

fn control_path(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(path.into()),
        _ => Err("the control socket is written unix:/path".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    let number: u64 = number
        .parse()
        .map_err(|_| "a time is written like 30s or 500ms".to_owned())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err("a time is written like 30s, 500ms or 2m".to_owned()),
    }
}

/// Runs the proxy until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// When it cannot start: an address or the control socket is taken, the state directory cannot be used.
pub async fn run(args: Args) -> anyhow::Result<()> {
    start_log(args.log_format, args.log_filter.as_deref());
    metrics::install();
    raise_open_files();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let routes = Routes::open(&args.state_dir).with_context(|| {
        format!(
            "the state directory {} cannot be used",
            args.state_dir.display()
        )
    })?;
    let path = args
        .control
        .clone()
        .unwrap_or_else(|| args.state_dir.join("control.sock"));
    let control_listener = control::bind(&path).await?;
    let workers = args
        .workers
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let listeners = listen::public(&args.listen, workers)?;
    let public = listeners
        .iter()
        .map(|listener| listener.local_addr())
        .collect::<Result<Vec<_>, _>>()?;

    let tasks = TaskTracker::new();
    let settings = Settings {
        pending_wait: args.pending_wait,
        hold: args.hold,
        most_waiting: MOST_WAITING,
        trusted: args.trusted_proxies,
    };
    let edge = Arc::new(Edge::new(Arc::new(routes), settings, tasks.clone()));
    let internal = Arc::new(Mutex::new(None));
    let control = Arc::new(Control {
        edge: Arc::clone(&edge),
        public: public.clone(),
        internal: Arc::clone(&internal),
    });
    for listener in listeners {
        tasks.spawn(listen::accept_public(Arc::clone(&edge), listener));
    }
    tasks.spawn(listen::keep_internal(Arc::clone(&edge), internal));
    tasks.spawn(control::serve(control, control_listener, edge.stop.clone()));
    tasks.spawn(keep_house(Arc::clone(&edge)));
    tracing::info!(
        ?public,
        control = %path.display(),
        generation = edge.routes.now().table().generation,
        "The proxy is up"
    );

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    drain(&edge, &tasks, args.drain).await;
    Ok(())
}

async fn drain(edge: &Arc<Edge>, tasks: &TaskTracker, patience: Duration) {
    tracing::info!(
        "The proxy takes no new connections and ends when the open ones did, or after {patience:?}"
    );
    edge.drain.cancel();
    let _ = timeout(patience, edge.emptied()).await;
    edge.stop.cancel();
    edge.close_upstreams();
    tasks.close();
    if timeout(ENDING, tasks.wait()).await.is_err() {
        tracing::warn!(tasks = tasks.len(), "Some tasks did not end in time");
    }
    if let Err(error) = edge.routes.save_activity() {
        tracing::warn!(%error, "The routes' last use could not be written");
    }
    tracing::info!("The proxy has ended");
}

/// What must be done from time to time.
async fn keep_house(edge: Arc<Edge>) {
    let mut sweep = interval(SWEEP_EVERY);
    let mut activity = interval(ACTIVITY_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    activity.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = edge.stop.cancelled() => return,
            _ = sweep.tick() => {
                edge.sweep();
                edge.routes.revoked.expire();
            }
            _ = activity.tick() => {
                let routes = Arc::clone(&edge.routes);
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

/// Each websocket takes two descriptors; the soft limit of many systems is 1024.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "The limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("soon").is_err());
        assert!(control_path("/x").is_err());
    }
}
