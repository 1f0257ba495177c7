//! Start, kill, drain: what survives.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::mpsc;

use command_fds::{CommandFdExt, FdMapping};

use crate::harness::{Client, Proxy, Server, control, eventually, table, websocket_request};

#[test]
fn a_killed_proxy_is_back_with_its_routes_and_their_use() {
    let proxy = Proxy::start();
    let server = Server::echo("server");
    let routes = table(
        5,
        &[],
        &[("/user/a/", Some(server.address)), ("/user/b/", None)],
    );
    proxy.put(&routes);
    assert_eq!(proxy.get("/user/a/x").status(), 200);
    let dir = proxy.kill();
    let again = Proxy::start_in(dir, &[]);
    assert_eq!(again.status().generation, 5);
    assert!(again.get("/user/a/x").body.starts_with("server\n"));
    let used = again.control("GET", "/holt/activity", "").1;
    assert!(
        used.contains("/user/a/") && !used.contains("/user/b/"),
        "{used}"
    );
    // An end on request also keeps when routes were used.
    again.signal("TERM");
    let mut again = again;
    assert!(again.child.wait().unwrap().success());
    let third = Proxy::start_in(std::sync::Arc::clone(&again.dir), &[]);
    assert_eq!(third.control("GET", "/holt/activity", "").1, used);
}

#[test]
fn a_kept_table_that_cannot_be_read_is_set_aside() {
    let proxy = Proxy::start();
    proxy.put(&table(5, &[], &[]));
    let dir = proxy.kill();
    std::fs::write(dir.path().join("table.json"), "{\"gener").unwrap();
    let again = Proxy::start_in(dir, &[]);
    assert_eq!(again.status().generation, 0);
    again.put(&table(1, &[], &[]));
}

#[test]
fn listening_sockets_that_are_passed_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut command = Proxy::command(dir.path());
    command.env("LISTEN_FDS", "1");
    command
        .fd_mappings(vec![FdMapping {
            parent_fd: OwnedFd::from(listener.try_clone().unwrap()),
            child_fd: 3,
        }])
        .unwrap();
    let mut child = command.spawn().unwrap();
    eventually("it serves", || {
        match control(dir.path(), "GET", "/holt/status", "")? {
            (200, body) if body.contains(&address.to_string()) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    // Connections that came while no proxy was there are served by the next one.
    let ask = || {
        let mut client = Client::new(TcpStream::connect(address).unwrap());
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client
    };
    assert_eq!(ask().answer().status(), 503);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut early = ask();
    let mut command = Proxy::command(dir.path());
    command.env("LISTEN_FDS", "1");
    command
        .fd_mappings(vec![FdMapping {
            parent_fd: OwnedFd::from(listener),
            child_fd: 3,
        }])
        .unwrap();
    let mut child = command.spawn().unwrap();
    drop(command);
    assert_eq!(early.answer().status(), 503);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_taken_port_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut command = Proxy::command(dir.path());
    command
        .arg("--listen")
        .arg(taken.local_addr().unwrap().to_string());
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot listen on 127.0.0.1:"), "{said}");
}

#[test]
fn the_signal_to_end_lets_requests_finish() {
    let mut proxy = Proxy::start();
    let (tell, told) = mpsc::channel();
    let (go, went) = mpsc::channel::<()>();
    let both = std::sync::Mutex::new((tell, went));
    let server = Server::start(move |mut client, _| {
        client.head();
        let both = both.lock().unwrap();
        both.0.send(()).unwrap();
        both.1.recv().unwrap();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        drop(both);
        client.rest();
    });
    proxy.put(&table(1, &[server.url()], &[]));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    told.recv().unwrap();
    proxy.signal("TERM");
    eventually("no new connection is taken", || {
        match TcpStream::connect(proxy.address) {
            Ok(_) => Err("it is".to_owned()),
            Err(_) => Ok(()),
        }
    });
    go.send(()).unwrap();
    assert_eq!(client.answer().body, "ok");
    assert!(proxy.child.wait().unwrap().success());
}

#[test]
fn what_does_not_end_is_cut_after_the_drain() {
    let mut proxy = Proxy::start_with(&["--drain", "300ms"]);
    let server = Server::websocket();
    proxy.put(&table(1, &[server.url()], &[]));
    let mut client = proxy.connect();
    client.send(websocket_request("/", ""));
    client.head();
    proxy.signal("INT");
    assert_eq!(client.rest(), "");
    assert!(proxy.child.wait().unwrap().success());
}

#[test]
fn a_closed_standard_error_is_survived() {
    let dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let mut command = Proxy::command(dir.path());
    command
        .args(["--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stderr.take());
    let status = eventually("it serves", || {
        control(dir.path(), "GET", "/holt/status", "")
    });
    let status: holt_spec::control::Status = serde_json::from_str(&status.1).unwrap();
    let proxy = Proxy {
        child,
        dir: std::sync::Arc::clone(&dir),
        address: status.public[0],
    };
    for _ in 0..10 {
        assert_eq!(proxy.get("/").status(), 503);
    }
}
