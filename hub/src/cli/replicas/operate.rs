//! What an operator asks of a running replica gateway, over its control socket.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use holt_spec::replicas::{
    DRAINING_PATH, Draining, STATUS_PATH, Section, Status, USAGE_PATH, Usage,
};
use http::{Method, StatusCode};

use crate::cli::{Failure, Place};
use crate::socket;

/// How long the gateway may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What is done with a running gateway.
#[derive(Debug, Subcommand)]
pub(super) enum Operate {
    /// Tell sections, their servers and how far these are behind.
    Status(Place),
    /// Tell what each user took of each section since the gateway began.
    Usage(Place),
    /// Give a server no new connections, for work on it; those it has go on.
    Drain(Backend),
    /// Give a drained server connections again.
    Undrain(Backend),
}

#[derive(Debug, Args)]
pub(super) struct Backend {
    #[command(flatten)]
    place: Place,
    /// The server, as a section's `backends` has it.
    #[arg(value_name = "HOST:PORT")]
    address: String,
}

impl Operate {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Status(place) => {
                let status: Status = ask(&socket_of(&place)?, STATUS_PATH).await?;
                show(|out| tell_status(out, &status));
            }
            Self::Usage(place) => {
                let usage: Usage = ask(&socket_of(&place)?, USAGE_PATH).await?;
                show(|out| tell_usage(out, &usage));
            }
            Self::Drain(backend) => {
                drain(&socket_of(&backend.place)?, backend.address, true).await?;
            }
            Self::Undrain(backend) => {
                drain(&socket_of(&backend.place)?, backend.address, false).await?;
            }
        }
        Ok(())
    }
}

fn socket_of(place: &Place) -> Result<PathBuf, Failure> {
    Ok(place.load()?.data_dir.replicas_socket())
}

async fn ask<T: serde::de::DeserializeOwned>(socket: &Path, path: &str) -> Result<T, Failure> {
    socket::ask(socket, path, ANSWER)
        .await
        .map_err(|error| away(&error))
}

async fn drain(socket: &Path, address: String, draining: bool) -> Result<(), Failure> {
    let body =
        serde_json::to_vec(&Draining { address, draining }).expect("plain values have a JSON form");
    let (status, _) = socket::call(socket, Method::POST, DRAINING_PATH, body, ANSWER)
        .await
        .map_err(|error| away(&error))?;
    match status {
        StatusCode::NO_CONTENT => {
            let status: Status = ask(socket, STATUS_PATH).await?;
            show(|out| tell_status(out, &status));
            Ok(())
        }
        StatusCode::NOT_FOUND => {
            let status: Status = ask(socket, STATUS_PATH).await?;
            let known: Vec<&str> = status
                .sections
                .values()
                .flat_map(|section| &section.backends)
                .map(|backend| backend.address.as_str())
                .collect();
            Err(Failure::usage(format!(
                "no section has this server; there are: {}",
                known.join(", ")
            )))
        }
        other => Err(Failure::unavailable(format!(
            "the replica gateway answered {other}"
        ))),
    }
}

fn away(error: &io::Error) -> Failure {
    Failure::unavailable(format!(
        "the replica gateway does not answer: {error}. Does `holt up` run, with this data directory?"
    ))
}

/// Output that nobody reads any more is no failure.
fn show(tell: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
    drop(tell(&mut io::stdout().lock()));
}

fn tell_status(out: &mut dyn Write, status: &Status) -> io::Result<()> {
    writeln!(
        out,
        "{} connections, {} databases",
        status.connections,
        status.databases.len()
    )?;
    let width = status.sections.keys().map(String::len).max().unwrap_or(0);
    for (name, section) in &status.sections {
        tell_section(out, &format!("{name:width$}"), section)?;
    }
    Ok(())
}

fn tell_section(out: &mut dyn Write, name: &str, section: &Section) -> io::Result<()> {
    for backend in &section.backends {
        let state = match backend {
            backend if backend.draining => "draining",
            backend if backend.up => "up",
            _ => "down",
        };
        let lag = backend.lag_seconds.map_or_else(
            || "lag unknown".to_owned(),
            |lag| format!("{lag:.0} s behind"),
        );
        write!(out, "{name}  {}  {state}  {lag}", backend.address)?;
        if let Some(trouble) = &backend.trouble {
            write!(out, "  {trouble}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn tell_usage(out: &mut dyn Write, usage: &Usage) -> io::Result<()> {
    if usage.usage.is_empty() {
        return writeln!(out, "nobody has asked anything yet");
    }
    writeln!(out, "user  section  statements  seconds  MiB")?;
    let mut rows: Vec<_> = usage.usage.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.milliseconds));
    for row in rows {
        writeln!(
            out,
            "{}  {}  {}  {:.1}  {:.1}",
            row.user,
            row.section,
            row.statements,
            Duration::from_millis(row.milliseconds).as_secs_f64(),
            row.bytes as f64 / 1_048_576.0
        )?;
    }
    Ok(())
}
