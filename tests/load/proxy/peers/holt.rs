//! Ours: the binary `holt-proxy`, with the command line it shares with configurable-http-proxy.

use std::process::Command;

use anyhow::Result;

use super::{Contestant, Ground, add_routes, token};
use crate::process::Running;

pub(super) async fn start(
    contestant: &Contestant,
    ground: &Ground,
    port: u16,
    cpus: &[usize],
) -> Result<Running> {
    let api = holt_tests::free_port()?;
    let token = token()?;
    let mut command = Command::new(&ground.binary);
    command
        .args(["--ip", "127.0.0.1", "--port", &port.to_string()])
        .args(["--api-ip", "127.0.0.1", "--api-port", &api.to_string()])
        .args(["--workers", &contestant.workers.to_string()])
        .args(["--log-level", "warn"])
        .args(&ground.arguments)
        .env("CONFIGPROXY_AUTH_TOKEN", &token);
    let log = ground.dir.join(format!("holt-{port}.log"));
    let running = Running::start(&mut command, cpus, &log)?;
    add_routes(api, &token, ground.upstream, &running).await?;
    Ok(running)
}
