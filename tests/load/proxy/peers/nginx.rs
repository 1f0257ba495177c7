//! nginx, tuned as one would for this work: connections to the upstream are kept, nothing is logged, and bulk is not
//! buffered on disk.

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
    let dir = ground.dir.join(format!("nginx-{port}"));
    std::fs::create_dir_all(&dir)?;
    let file = dir.join("nginx.conf");
    std::fs::write(&file, settings(contestant, ground.upstream, port)?)?;
    let mut command = Command::new(program("nginx")?);
    command.arg("-p").arg(&dir).arg("-c").arg(&file);
    Running::start(&mut command, cpus, &dir.join("log"))
}

fn settings(contestant: &Contestant, upstream: u16, port: u16) -> Result<String> {
    let user = match rustix::process::getuid().is_root() {
        true => "user root;",
        false => "",
    };
    let kept = contestant.kept;
    let workers = contestant.workers;
    let buffer = match contestant.buffer {
        Some(bytes) => format!(
            "proxy_buffer_size {bytes};
        proxy_buffers 8 {bytes};
        proxy_busy_buffers_size {};
        client_body_buffer_size {bytes};",
            2 * bytes
        ),
        None => String::new(),
    };
    let mut locations = String::new();
    for route in routes() {
        write!(
            locations,
            "
        location {route}/ {{
            proxy_pass http://upstream;
        }}
        location {route}/ws {{
            proxy_pass http://upstream;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection \"upgrade\";
            {FORWARDED}
        }}
        location {route}/bulk/ {{
            proxy_pass http://upstream;
            proxy_buffering off;
            proxy_request_buffering off;
        }}"
        )?;
    }
    Ok(format!(
        "daemon off;
{user}
pid nginx.pid;
error_log stderr warn;
worker_processes {workers};
worker_rlimit_nofile 20000;
events {{
    use epoll;
    worker_connections 16384;
    multi_accept on;
}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    tcp_nodelay on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    upstream upstream {{
        server 127.0.0.1:{upstream};
        keepalive {kept};
        keepalive_timeout 1h;
        keepalive_time 24h;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} reuseport backlog=4096;
        {buffer}
        proxy_http_version 1.1;
        proxy_read_timeout 1h;
        proxy_send_timeout 1h;
        proxy_set_header Connection \"\";
        {FORWARDED}{locations}
    }}
}}
"
    ))
}

/// A location with headers of its own inherits none.
const FORWARDED: &str = "proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $http_host;";
