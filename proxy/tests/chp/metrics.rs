//! What is counted for an operator.

use crate::activity::websocket;
use crate::harness::{Client, Fact, Running, Start, Told, check, eventually, same};

/// The lines of the metrics with this name.
fn metric(running: &Running, name: &str) -> String {
    let mut client = Client::to(running.metrics());
    client.send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    let body = client.answer().body();
    let mut lines: Vec<_> = body
        .lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        })
        .collect();
    lines.sort_unstable();
    lines.join(" | ")
}

fn counted(
    name: &'static str,
    act: impl Fn(&Running) + Sync + 'static,
    value: &'static str,
) -> Fact {
    same(
        &format!("{name} {value}"),
        value,
        move |running: &Running| {
            act(running);
            let _ = eventually(name, || {
                let seen = metric(running, name);
                (seen == value).then_some(()).ok_or(seen)
            });
            metric(running, name)
        },
    )
}

#[test]
fn metrics() {
    let ports = ["--metrics-ip", "127.0.0.1", "--metrics-port", "{metrics}"];
    let asked = |request: &'static str| {
        move |running: &Running| {
            let mut client = Client::to(running.metrics());
            client.send(request);
            client.answer().status()
        }
    };
    check(
        &Start::with(&ports),
        &[
            same(
                "they are text",
                "200 text/plain; *version=0.0.4*",
                |running: &Running| {
                    let mut client = Client::to(running.metrics());
                    client.send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
                    let answer = client.answer();
                    format!("{} {}", answer.status(), answer.header("content-type"))
                },
            ),
            same(
                "at this path only",
                "404",
                asked("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
            ),
            same(
                "not below it",
                "404",
                asked("GET /metrics/x HTTP/1.1\r\nHost: h\r\n\r\n"),
            ),
            same("not on the public side", "404", |running: &Running| {
                running.get("/metrics").status()
            }),
            same("every name is there", "[]", |running: &Running| {
                let mut client = Client::to(running.metrics());
                client.send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
                let body = client.answer().body();
                let missing: Vec<_> = [
                    ("api_route_get", "counter"),
                    ("api_route_add", "counter"),
                    ("api_route_delete", "counter"),
                    ("find_target_for_req", "summary"),
                    ("last_activity_updating", "summary"),
                    ("requests_ws", "counter"),
                    ("requests_web", "counter"),
                    ("requests_proxy", "counter"),
                    ("requests_api", "counter"),
                    ("process_cpu_seconds_total", "counter"),
                    ("process_resident_memory_bytes", "gauge"),
                    ("process_start_time_seconds", "gauge"),
                    ("process_open_fds", "gauge"),
                ]
                .into_iter()
                .filter(|(name, kind)| !body.contains(&format!("# TYPE {name} {kind}\n")))
                .collect();
                format!("{missing:?}")
            }),
            counted(
                "api_route_add",
                |running| running.route("/dead", "http://127.0.0.1:1"),
                "api_route_add 1",
            ),
            counted(
                "api_route_get",
                |running| drop(running.routed("")),
                "api_route_get 1",
            ),
            counted(
                "api_route_get",
                |running| drop(running.routed("/dead")),
                "api_route_get 1",
            ),
            counted(
                "api_route_delete",
                |running| drop(running.api_call("DELETE", "/api/routes/none", "")),
                "api_route_delete 1",
            ),
            counted(
                "requests_api",
                |_| (),
                "requests_api{status=\"200\"} 2 | requests_api{status=\"201\"} 1 | requests_api{status=\"404\"} 1",
            ),
            counted(
                "requests_web",
                |running| drop(running.get("/dead")),
                "requests_web 2",
            ),
            counted(
                "requests_web",
                |running| drop(running.get("/_chp_healthz")),
                "requests_web 2",
            ),
            counted(
                "requests_proxy",
                |_| (),
                "requests_proxy{status=\"404\"} 1 | requests_proxy{status=\"503\"} 1",
            ),
            counted(
                "requests_ws",
                |running| drop(websocket(running, "/dead")),
                "requests_ws 1",
            ),
            same(
                "how long a look-up takes",
                "true true",
                |running: &Running| {
                    let sum = metric(running, "find_target_for_req_sum");
                    let count = metric(running, "find_target_for_req_count");
                    format!("{} {}", !sum.is_empty(), !count.is_empty())
                },
            ),
            same(
                "without a token",
                "200",
                asked("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"),
            ),
            same(
                "by any method",
                "200",
                asked("POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
            ),
        ],
    );
    check(
        &Start::default(),
        &[same(
            "without the option there are none",
            "true",
            |running: &Running| {
                std::net::TcpStream::connect(running.metrics())
                    .is_err()
                    .to_string()
            },
        )],
    );
}
