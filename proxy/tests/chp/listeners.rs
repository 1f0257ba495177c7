//! Where it listens.

use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use crate::harness::{
    Client, Program, Running, SILENCE, Start, Told, check, check_on, differs, eventually,
    free_ports, same,
};

const HEALTH: &str = "GET /_chp_healthz HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn listeners() {
    let api = |address: SocketAddr, running: &Running| {
        let mut client = Client::to(address);
        client.send(format!(
            "GET /api/routes HTTP/1.1\r\nHost: h\r\nAuthorization: token {}\r\n\r\n",
            running.token
        ));
        client.answer().told()
    };
    check(
        &Start::bare(&["--ip=", "--api-ip=127.0.0.1", "--port", "{public}"]),
        &[
            same(
                "an empty address is every address, of both families",
                "200",
                |running: &Running| {
                    let address = if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
                        SocketAddr::from((Ipv6Addr::LOCALHOST, running.ports.public))
                    } else {
                        running.public()
                    };
                    let mut client = Client::to(address);
                    client.send(HEALTH);
                    client.answer().status()
                },
            ),
            same("and of the older family", "200", |running: &Running| {
                running.get("/_chp_healthz").status()
            }),
            same(
                "the API's port is the next one",
                "200 {}",
                move |running: &Running| api(running.api(), running),
            ),
        ],
    );
    check(
        &Start::bare(&["--ip", "*", "--api-ip=127.0.0.1", "--port", "{public}"]),
        &[
            same("a star is every address", "200", |running: &Running| {
                running.get("/_chp_healthz").status()
            }),
            same("with a warning", "true", |running: &Running| {
                running.says("ip='*'").to_string()
            }),
        ],
    );
    check(
        &Start::bare(&["--ip=127.0.0.1", "--port", "{public}"]),
        &[same(
            "the API listens on loopback only",
            "200 {}",
            move |running: &Running| api(running.api(), running),
        )],
    );
}

#[test]
fn sockets() {
    let start = Start::bare(&[
        "--socket",
        "{dir}/public.sock",
        "--api-socket",
        "{dir}/api.sock",
        "--metrics-socket",
        "{dir}/metrics.sock",
    ]);
    check(
        &start,
        &[
            same(
                "the public socket serves",
                "200 {\"status\":\"OK\"}",
                |running: &Running| {
                    let mut client = Client::to_socket(&running.path.join("public.sock"));
                    client.send(HEALTH);
                    client.answer().told()
                },
            ),
            same("the API's socket serves", "200 {}", |running: &Running| {
                let mut client = Client::to_socket(&running.path.join("api.sock"));
                client.send(format!(
                    "GET /api/routes HTTP/1.1\r\nHost: h\r\nAuthorization: token {}\r\n\r\n",
                    running.token
                ));
                client.answer().told()
            }),
            same("the metrics' socket serves", "200", |running: &Running| {
                let mut client = Client::to_socket(&running.path.join("metrics.sock"));
                client.send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
                client.answer().status()
            }),
        ],
    );
    check(
        &Start::bare(&[
            "--ip=127.0.0.1",
            "--port={public}",
            "--api-socket={dir}/api.sock",
            "--api-port={api}",
        ]),
        &[same(
            "an API socket goes before an API port",
            "true false",
            |running: &Running| {
                let socket = running.path.join("api.sock").exists();
                format!("{socket} {}", TcpStream::connect(running.api()).is_ok())
            },
        )],
    );
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    check_on(
        |program| program,
        &[differs(
            "a taken port",
            "ended with 1, naming it: true",
            "goes on, naming it: true",
            move |program: &Program| {
                let dir = tempfile::tempdir().unwrap();
                let log = dir.path().join("log");
                let out = std::fs::File::create(&log).unwrap();
                let mut child = program
                    .command()
                    .args(["--ip=127.0.0.1", "--port", &port, "--api-ip=127.0.0.1"])
                    .args(["--api-port", &free_ports(1).to_string()])
                    .stderr(out.try_clone().unwrap())
                    .stdout(out)
                    .spawn()
                    .unwrap();
                let names = eventually("it names the port", || {
                    let log = std::fs::read_to_string(&log).unwrap();
                    let named = log.contains("ddress already in use") && log.contains(&port);
                    named.then_some(()).ok_or(log)
                });
                std::thread::sleep(SILENCE);
                let end = match child.try_wait().unwrap() {
                    Some(status) => format!("ended with {}", status.code().unwrap_or(-1)),
                    None => "goes on".to_owned(),
                };
                let _ = child.kill();
                let _ = child.wait();
                format!("{end}, naming it: {}", names.is_ok())
            },
        )],
    );
}
