//! The REST API: methods, statuses, bodies, what is kept of a route.

use crate::facts::{Fact, check, differs, ours, same};
use crate::program::{Running, Start};
use crate::wire::{Client, SILENCE, Told};

const TARGET: &str = r#"{"target":"http://127.0.0.1:1"}"#;

/// Status, body and kind of what a call answers.
fn call(
    method: &'static str,
    target: &'static str,
    body: &'static str,
) -> impl Fn(&Running) -> String + Sync {
    move |running| running.api_call(method, target, body).told()
}

fn post(target: &'static str, body: &'static str) -> impl Fn(&Running) -> String + Sync {
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
fn bodies() {
    let missing = "400 Must specify 'target' as string";
    let broken = "400 Body not valid JSON: *";
    check(
        &Start::default(),
        &[
            same(
                "an object without a target",
                missing,
                post("/api/routes/x", "{}"),
            ),
            same(
                "a target that is a number",
                missing,
                post("/api/routes/x", r#"{"target":1}"#),
            ),
            same(
                "a target that is null",
                missing,
                post("/api/routes/x", r#"{"target":null}"#),
            ),
            same(
                "a target that is a list",
                missing,
                post("/api/routes/x", r#"{"target":["http://h"]}"#),
            ),
            same("null", missing, post("/api/routes/x", "null")),
            same("a list", missing, post("/api/routes/x", "[]")),
            same("a number", missing, post("/api/routes/x", "1")),
            same("a word", missing, post("/api/routes/x", r#""target""#)),
            same("no body", broken, post("/api/routes/x", "")),
            same(
                "half a body",
                broken,
                post("/api/routes/x", r#"{"target":"http"#),
            ),
            same("a form", broken, post("/api/routes/x", "target=http://h")),
            same("two objects", broken, post("/api/routes/x", "{}{}")),
            same(
                "none of them is kept",
                "404",
                call("GET", "/api/routes/x", ""),
            ),
            same(
                "white space around is nothing",
                "201",
                post("/api/routes/x", " {\"target\" : \"http://127.0.0.1:1\"}\n"),
            ),
            differs(
                "a target that is no URL",
                "400 *",
                "201",
                post("/api/routes/bad", r#"{"target":"not a url"}"#),
            ),
            differs(
                "a target of another scheme",
                "400 *",
                "201",
                post("/api/routes/bad", r#"{"target":"ftp://h"}"#),
            ),
            differs(
                "an empty target",
                "400 *",
                "201",
                post("/api/routes/bad", r#"{"target":""}"#),
            ),
            differs(
                "a target with a line's end",
                "400 *",
                "201",
                post("/api/routes/bad", r#"{"target":"http://h\r\nX: y"}"#),
            ),
            same(
                "https",
                "201",
                post("/api/routes/good", r#"{"target":"https://h"}"#),
            ),
            same(
                "a socket",
                "201",
                post("/api/routes/good", r#"{"target":"http+unix://%2Ftmp%2Fs"}"#),
            ),
            same(
                "a socket by its other name",
                "201",
                post("/api/routes/good", r#"{"target":"unix+http://%2Ftmp%2Fs"}"#),
            ),
            same(
                "a target with a path and a query",
                "201",
                post("/api/routes/good", r#"{"target":"http://h:1/p/?q"}"#),
            ),
            same("a chunked body", "201", |running: &Running| {
                running
                    .api_raw(&format!(
                        "POST /api/routes/chunked HTTP/1.1\r\nHost: h\r\nAuthorization: token {}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                        running.token, &TARGET[..5], TARGET.len() - 5, &TARGET[5..]
                    ))
                    .told()
            }),
            differs("1 MiB is enough", "413*", "201", |running: &Running| {
                let body = format!(
                    r#"{{"target":"http://127.0.0.1:1","x":"{}"}}"#,
                    "x".repeat(1 << 20)
                );
                running.api_call("POST", "/api/routes/large", &body).told()
            }),
            same("half of it is not too much", "201", |running: &Running| {
                let body = format!(
                    r#"{{"target":"http://127.0.0.1:1","x":"{}"}}"#,
                    "x".repeat(1 << 19)
                );
                running.api_call("POST", "/api/routes/large", &body).told()
            }),
        ],
    );
    check(
        &Start::with(&["--lenient-targets"]),
        &[
            ours(
                "any target is taken when that is wished",
                "201",
                post("/api/routes/bad", r#"{"target":"not a url"}"#),
            ),
            ours("and fails when it is used", "500*", |running: &Running| {
                running.get("/bad").told()
            }),
        ],
    );
}

#[test]
fn what_is_kept() {
    check(
        &Start::default(),
        &[
            same(
                "every field comes back as it went",
                r#"{"a":{"b":[1,2.5,null,true,"é"]},"jupyterhub":true,"server_name":"","user":"u"}"#,
                |running: &Running| {
                    let _ = running.api_call(
                        "POST",
                        "/api/routes/fields",
                        r#"{"target":"http://127.0.0.1:1","jupyterhub":true,"user":"u","server_name":"","a":{"b":[1,2.5,null,true,"é"]}}"#,
                    );
                    let mut kept = running.routed("/fields");
                    let fields = kept.as_object_mut().unwrap();
                    fields.remove("target");
                    fields.remove("last_activity");
                    kept.to_string()
                },
            ),
            same("in the table too", "\"u\" true", |running: &Running| {
                let kept = running.routed("");
                format!(
                    "{} {}",
                    kept["/fields"]["user"], kept["/fields"]["jupyterhub"]
                )
            }),
            same(
                "a target comes back as it went",
                "http://h:1/p/?q=%20#f",
                |running: &Running| {
                    let _ = running.api_call(
                        "POST",
                        "/api/routes/verbatim",
                        r#"{"target":"http://h:1/p/?q=%20#f"}"#,
                    );
                    running.routed("/verbatim")["target"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned()
                },
            ),
            same(
                "the last activity is its own, not the client's",
                "20??-??-??T??:??:??.???Z",
                |running: &Running| {
                    let _ = running.api_call(
                    "POST",
                    "/api/routes/fields",
                    r#"{"target":"http://127.0.0.1:1","last_activity":"1999-01-01T00:00:00.000Z"}"#,
                );
                    shape(
                        running.routed("/fields")["last_activity"]
                            .as_str()
                            .unwrap_or("none"),
                    )
                },
            ),
            same(
                "no host is noted without host routing",
                "null",
                |running: &Running| running.routed("/fields")["host"].to_string(),
            ),
            same(
                "names of JavaScript's own are names like others",
                "201 404",
                |running: &Running| {
                    let posted = running.api_call("POST", "/api/routes/x/hasOwnProperty", TARGET);
                    format!(
                        "{} {}",
                        posted.told(),
                        running.api_call("GET", "/api/routes/x", "").told()
                    )
                },
            ),
        ],
    );
    check(
        &Start::with(&["--host-routing"]),
        &[
            same(
                "with host routing, the host is noted",
                "\"a.example\"",
                |running: &Running| {
                    running.route("/a.example/user", "http://127.0.0.1:1");
                    running.routed("/a.example/user")["host"].to_string()
                },
            ),
            same("but not for the root", "null", |running: &Running| {
                running.route("/", "http://127.0.0.1:1");
                running.routed("")["/"]["host"].to_string()
            }),
        ],
    );
}

/// A time with its digits made alike.
fn shape(time: &str) -> String {
    let begin = time.get(..2).unwrap_or_default();
    let rest = time.get(2..).unwrap_or_default();
    begin.to_owned() + &rest.replace(|c: char| c.is_ascii_digit(), "?")
}

#[test]
fn inactive_routes() {
    let names_for = |query: &'static str| {
        move |running: &Running| {
            let answer = running.api_call("GET", &format!("/api/routes?{query}"), "");
            match serde_json::from_str::<serde_json::Value>(&answer.body()) {
                Ok(serde_json::Value::Object(routes)) => {
                    routes.keys().cloned().collect::<Vec<_>>().join(" ")
                }
                _ => answer.told(),
            }
        }
    };
    let bad = |value: &str| format!("400 Invalid datestamp '{value}' must be ISO8601.");
    let mut facts: Vec<Fact> = vec![same("two routes", "201", |running: &Running| {
        running.route("/a", "http://127.0.0.1:1");
        running.api_call("POST", "/api/routes/b", TARGET).told()
    })];
    for (name, query, expected) in [
        (
            "a later time",
            "inactiveSince=2100-01-01T00:00:00.000Z",
            "/a /b",
        ),
        (
            "an earlier time",
            "inactiveSince=1999-01-01T00:00:00.000Z",
            "",
        ),
        (
            "by its old name",
            "inactive_since=2100-01-01T00:00:00Z",
            "/a /b",
        ),
        (
            "the new name goes first",
            "inactive_since=2100-01-01T00:00:00Z&inactiveSince=1999-01-01T00:00:00Z",
            "",
        ),
        ("a date only", "inactiveSince=2100-01-01", "/a /b"),
        ("a month only", "inactiveSince=2100-01", "/a /b"),
        ("a year only", "inactiveSince=2100", "/a /b"),
        (
            "without seconds",
            "inactiveSince=2100-01-01T00:00Z",
            "/a /b",
        ),
        (
            "microseconds",
            "inactiveSince=2100-01-01T00:00:00.123456Z",
            "/a /b",
        ),
        (
            "an offset",
            "inactiveSince=2100-01-01T00:00:00%2B02:00",
            "/a /b",
        ),
        ("no zone", "inactiveSince=2100-01-01T00:00:00", "/a /b"),
        (
            "as in mail",
            "inactiveSince=Fri,%2001%20Jan%202100%2000:00:00%20GMT",
            "/a /b",
        ),
        ("nothing", "inactiveSince=", "/a /b"),
        ("another word", "active=1", "/a /b"),
    ] {
        facts.push(same(name, expected, names_for(query)));
    }
    for (name, query, value) in [
        (
            "words",
            "inactiveSince=endoftheuniverse",
            "endoftheuniverse",
        ),
        ("words by the old name", "inactive_since=soon", "soon"),
        ("a month too many", "inactiveSince=2100-13-01", "2100-13-01"),
    ] {
        facts.push(same(name, &bad(value), names_for(query)));
    }
    facts.push(same(
        "a time that is no time is ignored for one route",
        "200 {*",
        call("GET", "/api/routes/a?inactiveSince=soon", ""),
    ));
    facts.push(same(
        "the time itself is not before itself",
        "false true",
        |running: &Running| {
            let time = running.routed("/a")["last_activity"]
                .as_str()
                .unwrap()
                .to_owned();
            let listed = |time: &str| {
                let answer =
                    running.api_call("GET", &format!("/api/routes?inactiveSince={time}"), "");
                answer.body().contains("\"/a\"")
            };
            let later = format!("{}9Z", time.trim_end_matches('Z'));
            let next = if time.ends_with("999Z") {
                "2100-01-01".to_owned()
            } else {
                let (rest, millis) = later.split_at(later.len() - 5);
                let millis: u32 = millis[..3].parse().unwrap();
                format!("{rest}{:03}Z", millis + 1)
            };
            format!("{} {}", listed(&time), listed(&next))
        },
    ));
    check(&Start::default(), &facts);
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
