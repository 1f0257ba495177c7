//! The REST API: methods, statuses, bodies, what is kept of a route.

use crate::harness::{Client, Fact, Running, SILENCE, Start, Told, check, differs, same};

pub(crate) const TARGET: &str = r#"{"target":"http://127.0.0.1:1"}"#;

/// Status, body and kind of what a call answers.
pub(crate) fn call(
    method: &'static str,
    target: &'static str,
    body: &'static str,
) -> impl Fn(&Running) -> String + Sync {
    move |running| running.api_call(method, target, body).told()
}

pub(crate) fn post(target: &'static str, body: &'static str) -> impl Fn(&Running) -> String + Sync {
    call("POST", target, body)
}

/// Posts a route, and tells under which name it is found.
fn kept_as(target: &'static str) -> impl Fn(&Running) -> String + Sync {
    move |running| {
        let before = names(running);
        let posted = running.api_call("POST", &format!("/api/routes{target}"), TARGET);
        let new: Vec<_> = names(running)
            .into_iter()
            .filter(|name| !before.contains(name))
            .collect();
        format!("{} {}", posted.told(), new.join(" "))
    }
}

fn names(running: &Running) -> Vec<String> {
    match running.routed("") {
        serde_json::Value::Object(routes) => routes.keys().cloned().collect(),
        other => vec![other.to_string()],
    }
}

#[test]
fn routes_are_added_read_and_removed() {
    check(
        &Start::default(),
        &[
            same(
                "no routes are an empty object",
                "200 {}",
                call("GET", "/api/routes", ""),
            ),
            same(
                "also with a slash",
                "200 {}",
                call("GET", "/api/routes/", ""),
            ),
            same("it is JSON", "application/json", |running: &Running| {
                running
                    .api_call("GET", "/api/routes", "")
                    .header("content-type")
            }),
            same("a route is added", "201", post("/api/routes/a", TARGET)),
            same(
                "and found",
                "200 {*\"target\":\"http://127.0.0.1:1\"*}",
                call("GET", "/api/routes/a", ""),
            ),
            same("as JSON", "application/json", |running: &Running| {
                running
                    .api_call("GET", "/api/routes/a", "")
                    .header("content-type")
            }),
            same(
                "also with a slash at its end",
                "200 {*",
                call("GET", "/api/routes/a/", ""),
            ),
            same(
                "also with a query",
                "200 {*",
                call("GET", "/api/routes/a?x=1", ""),
            ),
            same(
                "what lies below it is not found",
                "404",
                call("GET", "/api/routes/a/b", ""),
            ),
            same(
                "nor what looks like it",
                "404",
                call("GET", "/api/routes/ab", ""),
            ),
            same(
                "letters are not the same in both cases",
                "404",
                call("GET", "/api/routes/A", ""),
            ),
            same(
                "it is replaced",
                "201 http://127.0.0.1:2 null",
                |running: &Running| {
                    let _ = running.api_call(
                        "POST",
                        "/api/routes/again",
                        r#"{"target":"http://127.0.0.1:1","old":1}"#,
                    );
                    let again = running.api_call(
                        "POST",
                        "/api/routes/again",
                        r#"{"target":"http://127.0.0.1:2"}"#,
                    );
                    let kept = running.routed("/again");
                    let target = kept["target"].as_str().unwrap_or_default().to_owned();
                    format!("{} {target} {}", again.told(), kept["old"])
                },
            ),
            same(
                "it is removed",
                "204",
                call("DELETE", "/api/routes/again", ""),
            ),
            same("and gone", "404", call("GET", "/api/routes/again", "")),
            same(
                "what is not there cannot be removed",
                "404",
                call("DELETE", "/api/routes/again", ""),
            ),
            same(
                "a slash at the end of what is removed does not matter",
                "204",
                |running: &Running| {
                    running.route("/slash", "http://127.0.0.1:1");
                    running.api_call("DELETE", "/api/routes/slash/", "").told()
                },
            ),
            same(
                "the query of a post is ignored",
                "201 /q",
                kept_as("/q?target=x"),
            ),
            same("an empty path is the root", "201 /", kept_as("")),
            same(
                "the root is found as a path",
                "200 {*\"/\":{*",
                call("GET", "/api/routes/", ""),
            ),
            same(
                "the root is removed",
                "204",
                call("DELETE", "/api/routes/", ""),
            ),
            differs(
                "removing without a path is the root",
                "404",
                "silent",
                |running: &Running| {
                    let mut client = Client::to(running.api());
                    client.patient(SILENCE);
                    client.send(format!(
                        "DELETE /api/routes HTTP/1.1\r\nHost: h\r\nAuthorization: token {}\r\n\r\n",
                        running.token
                    ));
                    client.answer().told()
                },
            ),
        ],
    );
}

#[test]
fn paths() {
    check(
        &Start::default(),
        &[
            same(
                "escapes are undone once",
                "201 /b c/d",
                kept_as("/b%20c%2Fd"),
            ),
            same(
                "a sign that needs none",
                "201 /user/a@b",
                kept_as("/user/a@b"),
            ),
            same("an escaped one is the same", "201 ", kept_as("/user/a%40b")),
            same("an escaped percent sign", "201 /x%41", kept_as("/x%2541")),
            same("other letters", "201 /é", kept_as("/%C3%A9")),
            same("one slash at the end goes", "201 /end", kept_as("/end/")),
            same("so do two", "201 /ends", kept_as("/ends//")),
            same("dots are resolved", "201 /y", kept_as("/x/../y")),
            same(
                "they are found with their escapes",
                "200 {*",
                call("GET", "/api/routes/b%20c%2Fd", ""),
            ),
            differs(
                "a broken escape is refused",
                "400*",
                "silent",
                |running: &Running| {
                    let mut client = Client::to(running.api());
                    client.patient(SILENCE);
                    client.send(format!(
                        "GET /api/routes/%zz HTTP/1.1\r\nHost: h\r\nAuthorization: token {}\r\n\r\n",
                        running.token
                    ));
                    client.answer().told()
                },
            ),
            same("no other path", "404 Not Found", call("GET", "/", "")),
            same("nor /api", "404 Not Found", call("GET", "/api", "")),
            same("nor /api/", "404 Not Found", call("GET", "/api/", "")),
            same(
                "nor what begins like it",
                "404 Not Found",
                call("GET", "/api/routesx", ""),
            ),
            same(
                "nor the health check",
                "404 Not Found",
                call("GET", "/_chp_healthz", ""),
            ),
            same(
                "unknown paths need no token",
                "404 Not Found",
                |running: &Running| running.api_raw("GET /x HTTP/1.1\r\nHost: h\r\n\r\n").told(),
            ),
        ],
    );
}

#[test]
fn methods_and_the_order_of_checks() {
    let raw = |request: &'static str| move |running: &Running| running.api_raw(request).told();
    let mut facts: Vec<Fact> = Vec::new();
    for method in ["PUT", "PATCH", "OPTIONS", "QUERY"] {
        facts.push(same(
            method,
            "405 Method not supported",
            call(method, "/api/routes/x", TARGET),
        ));
    }
    facts.push(same("HEAD", "405", call("HEAD", "/api/routes", "")));
    facts.extend([
        same(
            "the method is looked at before the token",
            "405 Method not supported",
            raw("PUT /api/routes/x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
        ),
        differs(
            "the token is looked at before the body",
            "403",
            "400 Body not valid JSON: *",
            raw("POST /api/routes/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n{"),
        ),
        differs(
            "and without waiting for it",
            "403",
            "silent",
            raw("POST /api/routes/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n{"),
        ),
        same(
            "a good body does not help without a token",
            "403",
            raw("POST /api/routes/x HTTP/1.1\r\nHost: h\r\nContent-Length: 31\r\n\r\n{\"target\":\"http://127.0.0.1:1\"}"),
        ),
        same(
            "removing needs the token",
            "403",
            raw("DELETE /api/routes/x HTTP/1.1\r\nHost: h\r\n\r\n"),
        ),
        same("other methods cannot be asked for by a header", "200 {}", |running: &Running| {
            running
                .api_raw(&format!(
                    "GET /api/routes HTTP/1.1\r\nHost: h\r\nX-HTTP-Method-Override: DELETE\r\nAuthorization: token {}\r\n\r\n",
                    running.token
                ))
                .told()
        }),
        same("no site may call it", "-", |running: &Running| {
            running
                .api_raw(&format!(
                    "GET /api/routes HTTP/1.1\r\nHost: h\r\nOrigin: https://evil.example\r\nAuthorization: token {}\r\n\r\n",
                    running.token
                ))
                .header("access-control-allow-origin")
        }),
        same("a connection takes many calls", "200 200 404", |running: &Running| {
            let mut client = Client::to(running.api());
            let mut said = Vec::new();
            for target in ["/api/routes", "/api/routes", "/api/routes/none"] {
                client.send(format!(
                    "GET {target} HTTP/1.1\r\nHost: h\r\nAuthorization: token {}\r\n\r\n",
                    running.token
                ));
                said.push(client.answer().status());
            }
            said.join(" ")
        }),
        same("HTTP/1.0 is served", "200 {}", |running: &Running| {
            running
                .api_raw(&format!(
                    "GET /api/routes HTTP/1.0\r\nAuthorization: token {}\r\n\r\n",
                    running.token
                ))
                .told()
        }),
        same("what frames a body twice is refused", "400*", |running: &Running| {
            running
                .api_raw(&format!(
                    "POST /api/routes/x HTTP/1.1\r\nHost: h\r\nAuthorization: token {}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    running.token
                ))
                .told()
        }),
    ]);
    check(&Start::default(), &facts);
}

#[test]
fn many_calls_at_one_time() {
    check(
        &Start::default(),
        &[same(
            "nothing is lost",
            "400 routes",
            |running: &Running| {
                std::thread::scope(|scope| {
                    for thread in 0..8 {
                        scope.spawn(move || {
                            for number in 0..50 {
                                running
                                    .route(&format!("/t{thread}/n{number}"), "http://127.0.0.1:1");
                            }
                        });
                    }
                });
                format!("{} routes", names(running).len())
            },
        )],
    );
}
