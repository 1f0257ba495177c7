//! The binary `holt-proxy`: the data plane alone.

use clap::Parser;

fn main() -> anyhow::Result<()> {
    let args = holt_proxy::cli::Args::parse();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(holt_proxy::cli::run(args))
}
