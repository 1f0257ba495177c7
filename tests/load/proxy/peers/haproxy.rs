//! HAProxy with one thread: connections to the upstream are shared and kept, nothing is logged, routes are a map.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::Result;

use super::{Contestant, Ground, program, routes};
use crate::process::Running;

pub(super) fn start(
    contestant: &Contestant,
    ground: &Ground,
    port: u16,
    cpus: &[usize],
) -> Result<Running> {
    let dir = ground.dir.join(format!("haproxy-{port}"));
    std::fs::create_dir_all(&dir)?;
    let map = dir.join("routes.map");
    let mut lines = String::new();
    for route in routes() {
        writeln!(lines, "{route}/ servers")?;
    }
    std::fs::write(&map, lines)?;
    let buffer = match contestant.buffer {
        Some(bytes) => format!("tune.bufsize {bytes}"),
        None => String::new(),
    };
    let upstream = ground.upstream;
    let map = map.display();
    let file = dir.join("haproxy.cfg");
    std::fs::write(
        &file,
        format!(
            "global
    nbthread 1
    maxconn 9000
    {buffer}
defaults
    mode http
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    timeout http-request 1h
    timeout http-keep-alive 1h
frontend public
    bind 127.0.0.1:{port} backlog 4096
    maxconn 9000
    option forwardfor
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    use_backend %[path,map_beg({map})]
backend servers
    server one 127.0.0.1:{upstream} pool-purge-delay 1h
"
        ),
    )?;
    let mut command = Command::new(program("haproxy")?);
    command.arg("-db").arg("-f").arg(&file);
    Running::start(&mut command, cpus, &dir.join("log"))
}
