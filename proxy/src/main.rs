//! The binary `holt-proxy`: the data plane alone.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use holt_proxy::cli;

/// Threads for what is told to the proxy; those that carry requests are its own.
const THREADS: usize = 2;
/// A mistake on the command line of Holt's own proxy.
const USAGE: u8 = 2;
/// Whatever stands in the way of a start; configurable-http-proxy has no other code for it.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let args = match cli::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help that nobody reads any more is no failure.
            drop(error.print());
            return match error.use_stderr() {
                false => ExitCode::SUCCESS,
                true if asks_for_holt() => ExitCode::from(USAGE),
                true => ExitCode::from(FAILED),
            };
        }
    };
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "holt-proxy: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn start(args: cli::Args) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()?
        .block_on(cli::run(args))
}

/// Which mode a line that makes no sense was meant for.
fn asks_for_holt() -> bool {
    std::env::args_os().any(|argument| {
        argument
            .to_string_lossy()
            .split('=')
            .next()
            .is_some_and(|name| name == "--state-dir")
    })
}
