//! The face of configurable-http-proxy: its options, REST API, metrics, error pages and log, over Holt's engine.
//!
//! A stock JupyterHub takes it for that program; where it differs on purpose is told in `spec/compat.md`.
//! **Invariant:** nothing here carries a request of a browser; it only says where requests go and how failures are told.

use std::io;
use std::path::PathBuf;

pub(crate) use self::options::Options;
pub(crate) use self::run::run;

use crate::listen::ListenError;
use crate::table::BadTarget;
use crate::tls::TlsError;

mod api;
mod error_target;
mod listeners;
mod log;
mod metrics;
mod options;
mod pages;
mod path;
mod plan;
mod redirect;
mod routes;
mod run;
mod serve;
mod store;
mod time;

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Options that make no sense, alone or together.
    #[error("{0}")]
    Options(String),
    /// An address that is no address, or not ours.
    #[error("{option}: '{host}' cannot be resolved")]
    Resolve {
        /// The option that names it.
        option: &'static str,
        /// What it says.
        host: String,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// An address that cannot be had.
    #[error("{options}: {hint}")]
    Listen {
        /// The options that say where.
        options: &'static str,
        /// What may help.
        hint: &'static str,
        /// Why not.
        #[source]
        cause: ListenError,
    },
    /// A file that cannot be used.
    #[error("{option}: {} cannot be used", .path.display())]
    File {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// An address of a server that is none.
    #[error("{option}")]
    Target {
        /// The option that names it.
        option: &'static str,
        /// What is wrong.
        #[source]
        cause: BadTarget,
    },
    /// Keys and certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system gives no threads or no signals.
    #[error("the system refuses what a proxy needs")]
    System(#[from] io::Error),
}

/// What to give in place of an option of Holt's own proxy.
pub(crate) fn instead_of(option: &str) -> &'static str {
    match option {
        "--listen" => "give --ip and --port, or --socket",
        "--control" => "give --api-ip and --api-port, or --api-socket",
        "--log-filter" | "--log-format" => "give --log-level",
        "--drain" => "the process ends at once: leave it out",
        _ => "leave it out",
    }
}
