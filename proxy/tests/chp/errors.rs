//! Failures: status, page, and where the page comes from.

use crate::harness::{
    Backend, Running, SILENCE, Start, Told, check, differs, header, same, websocket_request,
};

pub(crate) const DEAD: &str = "http://127.0.0.1:1";

/// Status line's code, kind and whether there is a page of HTML.
fn page(running: &Running, request: &str) -> String {
    let answer = running.ask(request);
    format!(
        "{} {} {}",
        answer.status(),
        answer.header("content-type"),
        if answer.body().contains("<html") || answer.body().contains("<!DOCTYPE") {
            "a page"
        } else {
            "no page"
        }
    )
}

#[test]
fn pages_that_are_built_in() {
    check(
        &Start::default(),
        &[
            same(
                "no route is a 404",
                "404 text/html*a page",
                |running: &Running| page(running, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"),
            ),
            same(
                "a server that is not there is a 503",
                "503 text/html*a page",
                |running: &Running| {
                    running.route("/dead", DEAD);
                    page(running, "GET /dead HTTP/1.1\r\nHost: h\r\n\r\n")
                },
            ),
            same(
                "the same for a POST",
                "503 text/html*a page",
                |running: &Running| {
                    page(
                        running,
                        "POST /dead HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}",
                    )
                },
            ),
            same("never JSON", "503 text/html*a page", |running: &Running| {
                page(
                    running,
                    "GET /dead HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n\r\n",
                )
            }),
            same(
                "HEAD has no page",
                "404 text/html*open",
                |running: &Running| {
                    let mut client = running.connect();
                    client.send("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n");
                    let answer = client.answer_to("HEAD");
                    format!(
                        "{} {} {}",
                        answer.status(),
                        answer.header("content-type"),
                        client.state()
                    )
                },
            ),
            same(
                "the connection goes on after it",
                "404 open",
                |running: &Running| {
                    let mut client = running.connect();
                    client.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
                    format!("{} {}", client.answer().status(), client.state())
                },
            ),
            same(
                "a server that hangs up is a 503",
                "503",
                |running: &Running| {
                    let back = Backend::doing(|mut client, _| {
                        let _ = client.head();
                    });
                    running.route("/hangs-up", &back.url());
                    running.get("/hangs-up").status()
                },
            ),
            same("one that talks nonsense too", "503", |running: &Running| {
                let back = Backend::answering("nonsense\r\n\r\n");
                running.route("/nonsense", &back.url());
                running.get("/nonsense").status()
            }),
            differs(
                "one that dies in the middle of its answer ends the client's connection",
                "200 closed after half",
                "200 silent after half",
                |running: &Running| {
                    let back = Backend::doing(|mut client, _| {
                        let _ = client.head();
                        client.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
                    });
                    running.route("/half", &back.url());
                    let mut client = running.connect();
                    client.send("GET /half HTTP/1.1\r\nHost: h\r\n\r\n");
                    let head = client.head().unwrap_or_default();
                    client.patient(SILENCE);
                    let (body, how) = client.rest();
                    format!(
                        "{} {} after {body}",
                        head.split(' ').nth(1).unwrap_or("-"),
                        how.told()
                    )
                },
            ),
            differs(
                "in the middle of a chunk",
                "closed, no last chunk",
                "silent, no last chunk",
                |running: &Running| {
                    let back = Backend::doing(|mut client, _| {
                        let _ = client.head();
                        client
                            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf");
                    });
                    running.route("/chunk", &back.url());
                    let mut client = running.connect();
                    client.send("GET /chunk HTTP/1.1\r\nHost: h\r\n\r\n");
                    let _ = client.head();
                    client.patient(SILENCE);
                    let (body, how) = client.rest();
                    let last = body.ends_with("0\r\n\r\n");
                    format!(
                        "{}, {}",
                        how.told(),
                        if last {
                            "a last chunk"
                        } else {
                            "no last chunk"
                        }
                    )
                },
            ),
            same(
                "the health check",
                "200 application/json {\"status\":\"OK\"}",
                |running: &Running| {
                    let answer = running.get("/_chp_healthz");
                    format!(
                        "{} {} {}",
                        answer.status(),
                        answer.header("content-type"),
                        answer.body()
                    )
                },
            ),
            same("by any method", "200", |running: &Running| {
                running
                    .ask("POST /_chp_healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
                    .status()
            }),
            same("but only by this name", "404 404", |running: &Running| {
                format!(
                    "{} {}",
                    running.get("/_chp_healthz/").status(),
                    running.get("/_chp_healthz?x").status()
                )
            }),
            same(
                "it goes before routes",
                "200 {\"status\":\"OK\"}",
                |running: &Running| {
                    running.route("/", DEAD);
                    let answer = running.get("/_chp_healthz").told();
                    let _ = running.api_call("DELETE", "/api/routes/", "");
                    answer
                },
            ),
        ],
    );
}

#[test]
fn websockets_that_fail() {
    check(
        &Start::default(),
        &[
            // The peer leaves the connection to itself, for ever.
            differs(
                "no route: a 404 without a page, and a connection that is good for more or ends",
                "404 0 open || 404 0 closed",
                "404 0 silent",
                |running: &Running| {
                    let mut client = running.connect();
                    client.send(websocket_request("/none", ""));
                    let head = client.head().unwrap_or_default();
                    client.patient(SILENCE);
                    format!(
                        "{} {} {}",
                        head.split([' ', '\r']).nth(1).unwrap_or("-"),
                        header(&head, "content-length").unwrap_or_default(),
                        client.state()
                    )
                },
            ),
            differs(
                "a server that is not there: a 503",
                "503 0 open || 503 0 closed",
                "503 0 closed",
                |running: &Running| {
                    running.route("/dead", DEAD);
                    let mut client = running.connect();
                    client.send(websocket_request("/dead", ""));
                    let head = client.head().unwrap_or_default();
                    format!(
                        "{} {} {}",
                        head.split([' ', '\r']).nth(1).unwrap_or("-"),
                        header(&head, "content-length").unwrap_or_default(),
                        client.state()
                    )
                },
            ),
            same(
                "a server that answers otherwise is passed on",
                "403 no",
                |running: &Running| {
                    let back =
                        Backend::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
                    running.route("/no", &back.url());
                    running.ask(websocket_request("/no", "")).told()
                },
            ),
        ],
    );
}
