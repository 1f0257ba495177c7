//! The REST API: bodies, what is kept of them, and which routes have not been used since a time.

use crate::api::{TARGET, call, post};
use crate::harness::{Fact, Running, Start, Told, check, differs, ours, same};

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
            differs(
                "a target with a user",
                "400 *",
                "201",
                post("/api/routes/bad", r#"{"target":"http://user:word@h"}"#),
            ),
            differs(
                "a path that no request can mean",
                "400 *",
                "201",
                post("/api/routes/user/%2e%2e%2fb", TARGET),
            ),
            differs(
                "a path with a line's end",
                "400 *",
                "201",
                post("/api/routes/a%0d%0ab", TARGET),
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
            ours("and fails when it is used", "50*", |running: &Running| {
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
