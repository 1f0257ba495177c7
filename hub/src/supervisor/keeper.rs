//! Keeps one role running: takes over the child that is there, makes one when none is, and makes another when it dies.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::listeners::{ListenError, Listeners};
use super::output::Output;
use super::process::{End, Process};
use super::program::Program;
use super::record::{Entry, Record};

/// First and longest wait before a child is made anew.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// A child that lived so long is no sign of trouble: the wait begins anew.
const LONG_LIFE: Duration = Duration::from_secs(30);
/// Number of the first listener's descriptor in the child.
/// High, so that none of the descriptors is in the way that the standard library itself uses while it starts a child.
const FIRST_DESCRIPTOR: i32 = 64;

/// A role and how its process is made.
#[derive(Debug)]
pub(super) struct Role {
    /// `hub` or `proxy`.
    pub(super) name: &'static str,
    /// The command line after the program's name.
    pub(super) arguments: Vec<OsString>,
    /// Where it answers.
    pub(super) socket: PathBuf,
    /// Program and settings; a running hub with another one is replaced.
    pub(super) fingerprint: String,
    /// The listeners it is given; `None` while a proxy that was found has its own.
    pub(super) listeners: Option<Listeners>,
    /// Where and how many they are, when it is to have some.
    pub(super) listen: Option<(SocketAddr, usize)>,
    /// How long it may take to end.
    pub(super) grace: Duration,
}

/// What a keeper tells.
#[derive(Debug)]
pub enum Told {
    /// A child was made.
    Started {
        /// Its role.
        role: &'static str,
        /// Its number.
        pid: i32,
    },
    /// A child ended that was not asked to.
    Ended {
        /// Its role.
        role: &'static str,
        /// Its number.
        pid: i32,
        /// How.
        end: End,
    },
    /// A child could not be made.
    NotStarted {
        /// Its role.
        role: &'static str,
        /// Why, with what to do.
        reason: String,
    },
}

/// Why a child could not be made.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("the program {program} cannot be started: {cause}")]
    Program { program: String, cause: io::Error },
    #[error("{0}")]
    System(#[from] io::Error),
}

/// Keeps one role.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) role: Role,
    pub(super) program: Program,
    pub(super) output: Output,
    pub(super) record: Arc<Record>,
    pub(super) told: mpsc::UnboundedSender<Told>,
    /// Fires when the role shall end.
    pub(super) stop: CancellationToken,
    /// Fires when it shall leave the child alone and go.
    pub(super) leave: CancellationToken,
    /// Fires when there is no patience any more.
    pub(super) hurry: CancellationToken,
}

impl Keeper {
    /// Keeps the role running until told to stop; then ends the child and returns.
    pub(super) async fn keep(mut self, found: Option<Process>) {
        let mut wait = BACK_OFF.0;
        let mut next = found;
        while !self.stop.is_cancelled() && !self.leave.is_cancelled() {
            let process = match next.take() {
                Some(process) => Ok(process),
                None => self.start().await,
            };
            match process {
                Ok(mut process) => {
                    tokio::select! {
                        end = process.ended() => {
                            self.tell(Told::Ended { role: self.role.name, pid: process.identity().pid, end });
                        }
                        () = self.leave.cancelled() => return,
                        () = self.stop.cancelled() => {
                            process.finish(self.role.grace, &self.hurry).await;
                            self.note(None);
                            return;
                        }
                    }
                    if process.age() >= LONG_LIFE {
                        wait = BACK_OFF.0;
                    }
                }
                Err(error) => self.tell(Told::NotStarted {
                    role: self.role.name,
                    reason: error.to_string(),
                }),
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => {}
                () = self.leave.cancelled() => {}
            }
            wait = (wait * 2).min(BACK_OFF.1);
        }
        self.note(None);
    }

    /// Makes a child, unless one that nobody wrote down answers already.
    async fn start(&mut self) -> Result<Process, StartError> {
        if let Some(found) = crate::socket::owner(&self.role.socket)
            .await
            .and_then(Process::find_by_number)
        {
            self.write_down(&found, String::new());
            return Ok(found);
        }
        let process = self.make()?;
        self.write_down(&process, self.role.fingerprint.clone());
        self.tell(Told::Started {
            role: self.role.name,
            pid: process.identity().pid,
        });
        Ok(process)
    }

    fn make(&mut self) -> Result<Process, StartError> {
        let path = self.program.path();
        let mut command = Command::new(&path);
        command
            .arg0("holt")
            .args(&self.role.arguments)
            .stdin(Stdio::null())
            // A group of its own: Ctrl-C in the terminal is for the supervisor, who ends the roles in order.
            .process_group(0)
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDNAMES")
            .env_remove("LISTEN_FDS")
            .env_remove("NOTIFY_SOCKET");
        let (out, err) = self.output.of(self.role.name)?;
        command.stdout(out).stderr(err);
        if let Some((listen, count)) = self.role.listen {
            let listeners = match self.role.listeners.take() {
                Some(listeners) => listeners,
                None => Listeners::open(listen, count)?,
            };
            let descriptors = self.role.listeners.insert(listeners).descriptors()?;
            command
                .env("LISTEN_FDS", descriptors.len().to_string())
                .env("LISTEN_FDS_FIRST_FD", FIRST_DESCRIPTOR.to_string());
            let mappings = (FIRST_DESCRIPTOR..)
                .zip(descriptors)
                .map(|(child_fd, parent_fd)| FdMapping {
                    parent_fd,
                    child_fd,
                })
                .collect();
            command.fd_mappings(mappings).map_err(io::Error::other)?;
        }
        Process::spawn(&mut command).map_err(|cause| StartError::Program {
            program: path.display().to_string(),
            cause,
        })
    }

    fn write_down(&self, process: &Process, fingerprint: String) {
        self.note(Some(Entry {
            identity: process.identity().clone(),
            fingerprint,
            listen: self.role.listen.map(|(listen, _)| listen),
        }));
    }

    fn note(&self, entry: Option<Entry>) {
        if let Err(cause) = self.record.set(self.role.name, entry) {
            // The child is found by its socket all the same.
            tracing::warn!(error = %cause, "The list of running children cannot be written");
        }
    }

    fn tell(&self, told: Told) {
        // Nobody listens once `up` is on its way out.
        drop(self.told.send(told));
    }
}
