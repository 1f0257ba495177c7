//! The command line of the role `holt proxy` and of the binary `holt-proxy`: one set of options, two modes.
//!
//! With `--state-dir` it is Holt's own proxy, told its routes by Holt's hub.
//! Without, it is what configurable-http-proxy is, with that program's options and REST API.

use std::io::Write as _;

use anyhow::bail;
use clap::{Command, Parser};

use self::given::Given;
use self::holt::HoltOptions;
use self::shared::Shared;
use crate::chp;
use crate::http::Settings;

mod given;
mod holt;
mod shared;

/// How configurable-http-proxy ends when it is told to.
const INTERRUPTED: i32 = 2;

const MODES: &str = "\
Modes:
  With --state-dir it is Holt's own proxy, which is told its routes by Holt's hub.
  Without, it stands in for configurable-http-proxy: routes come over the REST API.

Environment, in place of configurable-http-proxy:
  CONFIGPROXY_AUTH_TOKEN              what callers of the REST API must know; without it anybody may call
  CONFIGPROXY_AUTH_TOKEN_FILE         a file that holds it
  CONFIGPROXY_SSL_KEY_PASSPHRASE      opens the key of --ssl-key
  CONFIGPROXY_API_SSL_KEY_PASSPHRASE  opens the key of --api-ssl-key
";

/// The data plane: carries browsers to notebook servers.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "holt-proxy",
    disable_version_flag = true,
    args_override_self = true,
    allow_negative_numbers = true,
    after_help = MODES
)]
pub struct Args {
    #[command(flatten)]
    given: Given,
    /// Print the version, and nothing else.
    #[arg(short = 'V', long)]
    version: bool,
    #[command(flatten)]
    chp: chp::Options,
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    holt: HoltOptions,
}

/// Options that make no sense, alone or together: the words say what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(String);

/// Runs the proxy until it is told to end.
///
/// Holt's own drains and returns; in place of configurable-http-proxy the process ends at once, with status 2.
///
/// # Errors
/// When it cannot start: a [`Misuse`], or a file or an address that cannot be used.
pub async fn run(args: Args) -> anyhow::Result<()> {
    if args.version {
        // Nobody may be there to read it.
        let _ = writeln!(std::io::stdout(), "{}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    args.check()?;
    raise_open_files();
    if let Some(dir) = args.holt.state_dir.clone() {
        return holt::run(dir, args.holt, &args.shared).await;
    }
    let workers = args.shared.workers();
    let mut settings = Settings::chp();
    args.shared.apply(&mut settings);
    match chp::run(&args.chp, settings, workers).await {
        Err(chp::StartError::Options(words)) => bail!(Misuse(words)),
        ran => ran?,
    }
    std::process::exit(INTERRUPTED)
}

impl Args {
    /// Whether the options are all of one mode.
    fn check(&self) -> Result<(), Misuse> {
        if self.holt.state_dir.is_some() {
            if let Some(option) = self.given.find(belongs::<chp::Options>) {
                return Err(Misuse(format!(
                    "{option} is an option of configurable-http-proxy's mode and --state-dir asks for Holt's: \
                     leave one of them out{}",
                    holt::instead_of(option)
                )));
            }
        } else if let Some(option) = self.given.find(belongs::<HoltOptions>) {
            return Err(Misuse(format!(
                "{option} is an option of Holt's own proxy, which needs --state-dir DIR; \
                 in configurable-http-proxy's mode {}",
                chp::instead_of(option)
            )));
        }
        Ok(())
    }
}

/// Whether an option is one of a group's.
fn belongs<T: clap::Args>(option: &str) -> bool {
    T::augment_args(Command::new(""))
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .any(|long| option.strip_prefix("--") == Some(long))
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
    use clap::CommandFactory;

    fn read(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("holt-proxy").chain(line.split(' ')))
    }

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_line_of_a_chart_is_taken() {
        let args = read(
            "--ip= --api-ip= --api-port=8001 --default-target= --error-target=http://hub:8081/hub/error \
             --port=8443 --redirect-port=8000 --redirect-to=443 --ssl-key=/k --ssl-cert=/c --log-level=info",
        );
        assert!(args.unwrap().check().is_ok());
    }

    #[test]
    fn the_last_of_two_values_counts() {
        assert!(read("--log-level info --log-level debug --port 1 --port 2").is_ok());
    }

    #[test]
    fn what_configurable_http_proxy_refuses_is_refused() {
        for line in [
            "--nope",
            "positional",
            "--port",
            "--insecure=true",
            "--socket /s --port 1",
            "--socket /s --ip 127.0.0.1",
            "--x-forward",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }

    #[test]
    fn options_of_two_modes_are_refused_with_what_to_do() {
        let told = |line: &str| read(line).unwrap().check().unwrap_err().to_string();
        let error = told("--state-dir /s --port 8000");
        assert!(error.starts_with("--port is"), "{error}");
        assert!(error.contains("--listen"), "{error}");
        let error = told("--drain 3s");
        assert!(error.contains("--state-dir DIR"), "{error}");
        assert!(
            read("--state-dir /s --workers 2 --listen 127.0.0.1:0")
                .unwrap()
                .check()
                .is_ok()
        );
    }
}
