//! The control API.

use std::os::unix::fs::PermissionsExt;

use holt_spec::control::{Changes, Route, Table};

use crate::harness::{Proxy, Server, control, free_address, table};

#[test]
fn older_tables_are_refused_with_the_generation_in_force() {
    let proxy = Proxy::start();
    let newer = table(7, &[], &[("/user/a/", None)]);
    proxy.put(&newer);
    proxy.put(&newer);
    let older = serde_json::to_string(&table(6, &[], &[])).unwrap();
    let (code, body) = proxy.control("PUT", "/holt/table", &older);
    assert_eq!(
        (code, body.as_str()),
        (
            409,
            r#"{"generation":7,"message":"generation 7 is in force"}"#
        )
    );
    let other = serde_json::to_string(&table(7, &[], &[])).unwrap();
    assert_eq!(proxy.control("PUT", "/holt/table", &other).0, 409);
    let (_, kept) = proxy.control("GET", "/holt/table", "");
    assert_eq!(serde_json::from_str::<Table>(&kept).unwrap(), newer);
    assert_eq!(proxy.status().generation, 7);
}

#[test]
fn changes_are_seen_by_the_next_request() {
    let proxy = Proxy::start();
    let hub = Server::echo("hub");
    let server = Server::echo("server");
    proxy.put(&table(1, &[hub.url()], &[]));
    for step in 1..50 {
        let there = step % 2 == 1;
        let mut changes = Changes {
            base: step,
            generation: step + 1,
            set: Default::default(),
            removed: vec![],
        };
        if there {
            changes
                .set
                .insert("/user/a/".into(), Route::Target { url: server.url() });
        } else {
            changes.removed.push("/user/a/".into());
        }
        let text = serde_json::to_string(&changes).unwrap();
        assert_eq!(proxy.control("POST", "/holt/changes", &text).0, 200);
        assert_eq!(
            proxy.control("POST", "/holt/changes", &text).0,
            200,
            "a repeat is taken"
        );
        let name = if there { "server\n" } else { "hub\n" };
        assert!(proxy.get("/user/a/x").body.starts_with(name), "step {step}");
    }
    let stale = r#"{"base":1,"generation":99,"set":{},"removed":[]}"#;
    let (code, body) = proxy.control("POST", "/holt/changes", stale);
    assert_eq!(
        (code, body.as_str()),
        (
            409,
            r#"{"generation":50,"message":"generation 50 is in force"}"#
        )
    );
}

#[test]
fn nonsense_is_refused_and_changes_nothing() {
    let proxy = Proxy::start();
    proxy.put(&table(1, &[], &[("/user/a/", None)]));
    for (method, path, body, code) in [
        ("PUT", "/holt/table", "{", 400),
        (
            "PUT",
            "/holt/table",
            r#"{"generation":2,"hubs":["ftp://x"],"routes":{}}"#,
            400,
        ),
        (
            "PUT",
            "/holt/table",
            r#"{"generation":2,"hubs":[],"routes":{"x":{"state":"pending"}}}"#,
            400,
        ),
        (
            "PUT",
            "/holt/table",
            r#"{"generation":2,"hubs":[],"routes":{"/":{"state":"pending"}}}"#,
            400,
        ),
        (
            "PUT",
            "/holt/table",
            r#"{"generation":2,"hubs":[],"routes":{},"more":1}"#,
            400,
        ),
        (
            "POST",
            "/holt/revocations",
            r#"{"tokens":["secret"],"keep_seconds":1}"#,
            400,
        ),
        ("DELETE", "/holt/table", "", 405),
        ("GET", "/holt/nothing", "", 404),
    ] {
        let (found, text) = proxy.control(method, path, body);
        assert_eq!(found, code, "{method} {path} {body}: {text}");
        assert!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["message"].is_string());
    }
    assert_eq!(proxy.status().generation, 1);
}

#[test]
fn the_socket_is_the_owners_alone_and_is_not_stolen() {
    let proxy = Proxy::start();
    let path = proxy.dir.path().join("control.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut second = Proxy::command(proxy.dir.path());
    second
        .args(["--listen", "127.0.0.1:0"])
        .stderr(std::process::Stdio::piped());
    let second = second.output().unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("another proxy answers on"), "{said}");
    assert_eq!(proxy.control("GET", "/holt/status", "").0, 200);
    // After a kill the stale file is replaced.
    let dir = proxy.kill();
    assert!(path.exists() && control(dir.path(), "GET", "/holt/status", "").is_err());
    let again = Proxy::start_in(dir, &[]);
    assert_eq!(again.control("GET", "/holt/status", "").0, 200);
}

#[test]
fn metrics_name_no_path() {
    let proxy = Proxy::start();
    proxy.put(&table(3, &[], &[("/user/somebody/", Some(free_address()))]));
    assert_eq!(proxy.get("/user/somebody/x?token=t0k").status(), 503);
    let metrics = proxy.control("GET", "/metrics", "").1;
    for line in [
        "holt_proxy_table_generation 3",
        "holt_proxy_routes 1",
        r#"holt_proxy_requests_total{listener="public",way="server",class="5xx"} 1"#,
        r#"holt_proxy_failures_total{side="upstream",phase="connect"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("somebody") && !metrics.contains("t0k"));
    assert!(!proxy.log().contains("t0k"));
}
