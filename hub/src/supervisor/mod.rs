//! The small supervisor behind `holt up`: opens the public listeners, keeps them, and keeps the roles running.
//!
//! The children outlive it. The next supervisor finds them by what was written down (`record`) or by who answers on their
//! sockets, and watches them from then on, so that its death cuts no connection.
//! A hub that runs another program or other settings is replaced; a proxy is left alone, since browsers hang on it.

mod keeper;
pub mod listeners;
pub mod lock;
mod output;
pub mod process;
mod program;
mod record;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holt_spec::control::{STATUS_PATH, Status};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use keeper::Told;
use keeper::{Keeper, Role};
use listeners::{ListenError, Listeners};
pub use output::Output;
use process::Process;
use program::Program;
use record::Record;

use crate::config::{DataDir, Settings};

/// The role names, as on the command line.
pub const HUB: &str = "hub";
/// See [`HUB`].
pub const PROXY: &str = "proxy";
/// See [`HUB`].
pub const REPLICAS: &str = "replicas";
/// See [`HUB`].
pub const NODE: &str = "node";

/// How long the hub may take to end: its requests drain for ten seconds.
const HUB_GRACE: Duration = Duration::from_secs(15);
/// How long the replica gateway may take to end.
const REPLICAS_GRACE: Duration = Duration::from_secs(12);
/// How long the proxy may take to end.
const PROXY_GRACE: Duration = Duration::from_secs(15);
/// How long the node may take to end: it leaves its mounts.
const NODE_GRACE: Duration = Duration::from_secs(5);

/// How the roles are started, except for what only the supervisor knows.
#[derive(Debug, Clone)]
pub struct CommandLines {
    /// For the hub; `--listen` is added.
    pub hub: Vec<OsString>,
    /// For the proxy.
    pub proxy: Vec<OsString>,
    /// For the replica gateway, where there is one.
    pub replicas: Option<Vec<OsString>>,
    /// For the node, where there are mounts to keep and the right to do it.
    pub node: Option<Vec<OsString>>,
}

/// The roles, kept running.
#[derive(Debug)]
pub struct Supervisor {
    /// Where the public listener is.
    pub listen: SocketAddr,
    /// What was found and done at the start, in sentences.
    pub notes: Vec<String>,
    /// A proxy that served before us.
    pub found_proxy: bool,
    told: mpsc::UnboundedReceiver<Told>,
    hub_tasks: TaskTracker,
    proxy_tasks: TaskTracker,
    hub_stop: CancellationToken,
    proxy_stop: CancellationToken,
    leave: CancellationToken,
    hurry: CancellationToken,
}

impl Supervisor {
    /// Takes over what runs and starts what does not.
    ///
    /// # Errors
    /// When the public listener cannot be opened.
    pub async fn start(
        settings: &Settings,
        lines: CommandLines,
        output: Output,
    ) -> Result<Self, ListenError> {
        let data_dir = &settings.data_dir;
        let record = Arc::new(Record::open(children_file(data_dir)));
        let program = Program::own();
        let hurry = CancellationToken::new();
        let mut notes = Vec::new();

        let workers = settings.proxy_workers();
        let mut proxy = find_proxy(&record, data_dir).await;
        if let Some((process, address)) = &mut proxy
            && !same_listener(settings.proxy.listen, *address)
        {
            notes.push(format!(
                "The listener changed from {address} to {}: the proxy is replaced, and open notebooks connect again",
                settings.proxy.listen
            ));
            process.finish(PROXY_GRACE, &hurry).await;
            proxy = None;
        }
        let found_proxy = proxy.is_some();
        let (listeners, listen) = match &proxy {
            Some((process, address)) => {
                notes.push(format!(
                    "Took over the running proxy (pid {})",
                    process.identity().pid
                ));
                (Listeners::share(process, *address), *address)
            }
            None => {
                let listeners = Listeners::open(settings.proxy.listen, workers)?;
                let address = listeners.address();
                (Some(listeners), address)
            }
        };

        let mut hub_arguments = lines.hub;
        hub_arguments.extend(["--listen".into(), listen.to_string().into()]);
        let hub_fingerprint = program.fingerprint(&format!("{settings:?} {hub_arguments:?}"));
        let mut hub = find(&record, HUB, data_dir).await;
        if let Some((process, fingerprint)) = &mut hub {
            let pid = process.identity().pid;
            if *fingerprint == hub_fingerprint {
                notes.push(format!("Took over the running hub (pid {pid})"));
            } else {
                notes.push(format!("The running hub (pid {pid}) has another version or other settings and is replaced"));
                process.finish(HUB_GRACE, &hurry).await;
                hub = None;
            }
        }

        let gateway_fingerprint =
            program.fingerprint(&format!("{settings:?} {:?}", lines.replicas));
        let mut gateway = find(&record, REPLICAS, data_dir).await;
        if let Some((process, fingerprint)) = &mut gateway {
            let pid = process.identity().pid;
            if lines.replicas.is_some() && *fingerprint == gateway_fingerprint {
                notes.push(format!("Took over the running replica gateway (pid {pid})"));
            } else {
                notes.push(format!("The running replica gateway (pid {pid}) has another version or other settings and is replaced"));
                process.finish(REPLICAS_GRACE, &hurry).await;
                gateway = None;
                drop(record.set(REPLICAS, None));
            }
        }

        let (tell, told) = mpsc::unbounded_channel();
        let leave = CancellationToken::new();
        let (hub_stop, proxy_stop) = (CancellationToken::new(), CancellationToken::new());
        let keeper = |role, stop: &CancellationToken| Keeper {
            role,
            program: program.clone(),
            output: output.clone(),
            record: Arc::clone(&record),
            told: tell.clone(),
            stop: stop.clone(),
            leave: leave.clone(),
            hurry: hurry.clone(),
        };
        let proxy_keeper = keeper(
            Role {
                name: PROXY,
                fingerprint: program.fingerprint(&format!("{:?}", lines.proxy)),
                arguments: lines.proxy,
                socket: data_dir.proxy_socket(),
                listeners,
                listen: Some((listen, workers)),
                grace: PROXY_GRACE,
            },
            &proxy_stop,
        );
        let hub_keeper = keeper(
            Role {
                name: HUB,
                fingerprint: hub_fingerprint,
                arguments: hub_arguments,
                socket: data_dir.hub_socket(),
                listeners: None,
                listen: None,
                grace: HUB_GRACE,
            },
            &hub_stop,
        );
        let (hub_tasks, proxy_tasks) = (TaskTracker::new(), TaskTracker::new());
        if let Some(arguments) = lines.node {
            let fingerprint = program.fingerprint(&format!("{settings:?} {arguments:?}"));
            let node = find_same(&record, NODE, NODE_GRACE, &fingerprint, &hurry).await;
            let node_keeper = keeper(
                Role {
                    name: NODE,
                    arguments,
                    // It answers nowhere: what it has to say is in its directory.
                    socket: data_dir.run().join("node.sock"),
                    fingerprint,
                    listeners: None,
                    listen: None,
                    grace: NODE_GRACE,
                },
                &hub_stop,
            );
            hub_tasks.spawn(node_keeper.keep(node));
        } else if let Some((mut node, _)) = find_recorded(&record, NODE) {
            node.finish(NODE_GRACE, &hurry).await;
        }
        proxy_tasks.spawn(proxy_keeper.keep(proxy.map(|(process, _)| process)));
        hub_tasks.spawn(hub_keeper.keep(hub.map(|(process, _)| process)));
        if let Some(arguments) = lines.replicas {
            let gateway_keeper = keeper(
                Role {
                    name: REPLICAS,
                    fingerprint: gateway_fingerprint,
                    arguments,
                    socket: data_dir.replicas_socket(),
                    listeners: None,
                    listen: None,
                    grace: REPLICAS_GRACE,
                },
                // It ends and stays as the proxy does: connections of users hang on both.
                &proxy_stop,
            );
            proxy_tasks.spawn(gateway_keeper.keep(gateway.map(|(process, _)| process)));
        }
        Ok(Self {
            listen,
            notes,
            found_proxy,
            told,
            hub_tasks,
            proxy_tasks,
            hub_stop,
            proxy_stop,
            leave,
            hurry,
        })
    }

    /// The next thing a keeper has to tell.
    pub async fn next(&mut self) -> Told {
        match self.told.recv().await {
            Some(told) => told,
            None => std::future::pending().await,
        }
    }

    /// Fire it to make [`Supervisor::finish`] lose patience.
    #[must_use]
    pub fn hurry(&self) -> CancellationToken {
        self.hurry.clone()
    }

    /// Ends the hub and the node, which leaves its mounts, then the proxy and the replica gateway.
    pub async fn finish(self) {
        self.hub_stop.cancel();
        self.hub_tasks.close();
        self.hub_tasks.wait().await;
        self.proxy_stop.cancel();
        self.proxy_tasks.close();
        self.proxy_tasks.wait().await;
    }

    /// Ends the hub and leaves the proxy to itself, for the next `up` to find.
    pub async fn finish_hub_only(self) {
        self.hub_stop.cancel();
        self.hub_tasks.close();
        self.hub_tasks.wait().await;
        self.leave.cancel();
        self.proxy_tasks.close();
        self.proxy_tasks.wait().await;
    }
}

/// Port 0 asks for any port, so whichever there is will do.
fn same_listener(wanted: SocketAddr, is: SocketAddr) -> bool {
    wanted.ip() == is.ip() && (wanted.port() == is.port() || wanted.port() == 0)
}

/// A role's process as it was written down, with what it was started with.
fn find_recorded(record: &Record, role: &str) -> Option<(Process, String)> {
    let entry = record.get(role)?;
    Some((Process::find(&entry.identity)?, entry.fingerprint))
}

/// A role's process that was started as it would be now; another one is ended.
async fn find_same(
    record: &Record,
    role: &str,
    grace: Duration,
    fingerprint: &str,
    hurry: &CancellationToken,
) -> Option<Process> {
    let (mut process, known) = find_recorded(record, role)?;
    if known == fingerprint {
        return Some(process);
    }
    process.finish(grace, hurry).await;
    None
}

/// A role's process with what it was started with: as written down, else who answers on its socket.
async fn find(record: &Record, role: &str, data_dir: &DataDir) -> Option<(Process, String)> {
    if let Some(found) = find_recorded(record, role) {
        return Some(found);
    }
    let socket = match role {
        HUB => data_dir.hub_socket(),
        REPLICAS => data_dir.replicas_socket(),
        _ => data_dir.proxy_socket(),
    };
    let process = Process::find_by_number(crate::socket::owner(&socket).await?)?;
    Some((process, String::new()))
}

/// A proxy that runs, with where it listens.
async fn find_proxy(record: &Record, data_dir: &DataDir) -> Option<(Process, SocketAddr)> {
    let (process, _) = find(record, PROXY, data_dir).await?;
    let written = record
        .get(PROXY)
        .filter(|entry| entry.identity == *process.identity())
        .and_then(|entry| entry.listen);
    if let Some(address) = written {
        return Some((process, address));
    }
    let status: Status = crate::socket::ask(
        &data_dir.proxy_socket(),
        STATUS_PATH,
        Duration::from_secs(5),
    )
    .await
    .ok()?;
    Some((process, *status.public.first()?))
}

/// Where the public listener is: as written down by a running `up`, else as the settings say.
#[must_use]
pub fn listen_of(settings: &Settings) -> SocketAddr {
    Record::open(children_file(&settings.data_dir))
        .get(PROXY)
        .and_then(|entry| entry.listen)
        .filter(|is| same_listener(settings.proxy.listen, *is))
        .unwrap_or(settings.proxy.listen)
}

/// The process of the node that an `up` started, if it was not ended.
#[must_use]
pub fn node_pid(settings: &Settings) -> Option<i32> {
    let record = Record::open(children_file(&settings.data_dir));
    record.get(NODE).map(|entry| entry.identity.pid)
}

fn children_file(data_dir: &DataDir) -> PathBuf {
    data_dir.run().join("children.json")
}

/// Ends what an `up` that died left running: the hub, then the replica gateway and the proxy. Returns how many there were.
pub async fn end_left_over(data_dir: &DataDir) -> usize {
    let record = Record::open(children_file(data_dir));
    let mut ended = 0;
    let roles = [
        (HUB, HUB_GRACE),
        (REPLICAS, REPLICAS_GRACE),
        (PROXY, PROXY_GRACE),
    ];
    for (role, grace) in roles {
        if let Some((mut process, _)) = find(&record, role, data_dir).await {
            process.finish(grace, &CancellationToken::new()).await;
            ended += 1;
        }
        // What could not be written is found to be gone by the next `up`.
        drop(record.set(role, None));
    }
    if let Some((mut node, _)) = find_recorded(&record, NODE) {
        node.finish(NODE_GRACE, &CancellationToken::new()).await;
        drop(record.set(NODE, None));
        ended += 1;
    }
    ended
}
