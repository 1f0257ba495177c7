//! The command line: one binary, and every role and tool behind it.
//!
//! **Invariant:** nothing outside this room imports `holt_proxy`.

mod check;
mod doctor;
mod down;
mod dumps;
mod exit;
mod node;
mod people;
mod replicas;
mod roles;
mod signals;
mod terminal;
mod tools;
mod up;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use exit::Failure;

use crate::config::{Settings, Sources};

const CODES: &str = "\
Exit codes:
   0  all is well
   1  `doctor` found something that stops a spawn or breaks isolation
  64  a mistake in the settings or on the command line
  69  something that is needed is not available: container engine, port, running hub
  70  Holt itself is at fault; please report it
  73  the data directory cannot be made or written
  74  the database cannot be used: disk full, read-only, locked or damaged
  75  another process has what is needed: a second `up` on one data directory
";

/// A hosted notebook hub: sign in, get a notebook server of your own, work in the browser.
///
/// `holt up` is all that is needed: it starts everything and prints a link to sign in with.
#[derive(Debug, Parser)]
#[command(name = "holt", version, after_help = CODES, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Where settings and data are.
#[derive(Debug, Clone, Default, Args)]
pub struct Place {
    /// The settings file. Without it: ./holt.toml, else holt.toml in the data directory, if there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where Holt keeps everything. Without it: HOLT_DATA_DIR, else `holt` in the XDG data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// What may stand over the settings file.
#[derive(Debug, Clone, Default, Args)]
pub struct Overrides {
    #[command(flatten)]
    place: Place,
    /// Where browsers come in (proxy.listen; 127.0.0.1:8000 if nothing is said).
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// What the outside calls the hub (hub.public_url).
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything, and print a link to sign in with.
    ///
    /// Keeps a proxy and a hub running until Ctrl-C. Notebook servers go on running afterwards; `holt down` stops them.
    /// Standard output carries the link alone; everything else goes to standard error.
    Up(Overrides),
    /// Stop the notebook servers, and a running `up`.
    Down(Place),
    /// Tell every mistake in the settings, and do nothing else.
    Check(Overrides),
    /// Tell what on this machine would stop a notebook server or break its isolation, and how to mend it.
    Doctor(Overrides),
    /// Users: list, add, or make a link to sign in with.
    #[command(subcommand)]
    User(people::UserCommand),
    /// Published dumps: download files of one.
    #[command(subcommand)]
    Dumps(dumps::DumpsCommand),
    /// Role: the hub, when something else supervises.
    Hub(roles::HubArgs),
    /// Role: the proxy, when something else supervises.
    Proxy(Box<holt_proxy::cli::Args>),
    /// Role: the replica gateway, when something else supervises; and commands for one that runs.
    ///
    /// Carries queries of notebooks to the wiki replicas; see [replicas] in the settings.
    Replicas(replicas::ReplicasArgs),
    /// Role: keep the mounts of `[mount.<name>]`. Needs the rights of root, and runs beside a hub that has none.
    ///
    /// Each mount is watched, taken away when it is ill and mounted again. When this ends, mounts stay; --unmount takes them away.
    Node(node::NodeArgs),
    /// One piece of work of `holt node`, in a process of its own.
    #[command(hide = true)]
    NodeHand,
}

impl Place {
    fn sources(&self) -> Sources {
        Sources {
            config: self.config.clone(),
            data_dir: self.data_dir.clone(),
            environment: std::env::vars_os().collect(),
            ..Sources::default()
        }
    }

    fn load(&self) -> Result<Settings, Failure> {
        Settings::load(&self.sources()).map_err(Failure::settings)
    }
}

impl Overrides {
    /// Whether the flags say where the hub is.
    fn says_where(&self) -> bool {
        self.listen.is_some() || self.public_url.is_some()
    }

    fn load(&self) -> Result<Settings, Failure> {
        let sources = Sources {
            listen: self.listen.clone(),
            public_url: self.public_url.clone(),
            ..self.place.sources()
        };
        let settings = Settings::load(&sources).map_err(Failure::settings)?;
        // Files that settings name are part of them: better told now than by a hub that does not come up.
        let mut mistakes = crate::hub::mistakes(&settings);
        mistakes.extend(replicas::mistakes(&settings));
        if mistakes.is_empty() {
            Ok(settings)
        } else {
            Err(Failure::named_files(&mistakes))
        }
    }
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads any more is no failure.
            drop(error.print());
            return if error.use_stderr() {
                ExitCode::from(exit::USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(cause) => {
            return Failure::unavailable(format!("no threads can be made: {cause}")).report();
        }
    };
    let outcome = runtime.block_on(cli.command.run());
    // What still runs is lawful to cut: all that matters is in the database.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

impl Command {
    async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Up(overrides) => up::run(overrides).await,
            Self::Down(place) => down::run(place.load()?).await,
            Self::Check(overrides) => check::run(&overrides),
            Self::Doctor(overrides) => doctor::run(overrides.load()?).await,
            Self::User(user) => user.run().await,
            Self::Dumps(dumps) => dumps.run().await,
            Self::Hub(arguments) => roles::hub(arguments).await,
            Self::Proxy(arguments) => roles::proxy(*arguments).await,
            Self::Replicas(arguments) => replicas::run(arguments).await,
            Self::Node(arguments) => node::run(arguments).await,
            Self::NodeHand => Ok(crate::node::hand()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_lawful() {
        super::Cli::command().debug_assert();
    }
}
