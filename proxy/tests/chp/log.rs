//! What is logged, at which level, and what never is.

use crate::harness::{Fact, Running, Start, check, differs, plain, same};

/// Lines of the log with these words, without time and colour.
fn lines(running: &Running, words: &str) -> String {
    let _ = running.says(words);
    let log = plain(&running.log());
    let found: Vec<_> = log.lines().filter(|line| line.contains(words)).collect();
    found.join("\n")
}

#[test]
fn log() {
    let line = |words: &'static str| move |running: &Running| lines(running, words);
    let levels = |running: &Running| {
        running.route("/x", "http://127.0.0.1:1");
        let _ = running.api_call("GET", "/api/routes/none?secret=1", "");
        let _ = running.get("/x?secret=1");
        let _ = running.get("/x/again");
    };
    check(
        &Start::with(&[
            "--default-target",
            "http://127.0.0.1:1",
            "--log-level",
            "debug",
        ]),
        &[
            same(
                "lines have time, label and level",
                "20*-*-*T*:*:*.*Z [ConfigProxy] info: Route added / -> http://127.0.0.1:1",
                line("Route added /"),
            ),
            same(
                "the banner names what is proxied to",
                "*info: Proxying http://*127.0.0.1* to http://127.0.0.1:1",
                line("Proxying "),
            ),
            same(
                "and where the API is",
                "*info: Proxy API at http://*127.0.0.1*/api/routes",
                line("Proxy API at"),
            ),
            same(
                "calls of the API are told without their query",
                "true",
                move |running: &Running| {
                    levels(running);
                    running.says("GET /api/routes/none").to_string()
                },
            ),
            same(
                "a call that did well is info",
                "*info: 201 POST /api/routes/x*",
                line("201 POST"),
            ),
            same(
                "a call that did not is a warning",
                "*warn: 404 GET /api/routes/none*",
                line("404 GET /api"),
            ),
            same(
                "a server that does not answer is an error",
                "*error: 503 GET /x*",
                line("503 GET /x "),
            ),
            same(
                "a request is told at debug",
                "*debug: PROXY WEB /x to http://127.0.0.1:1",
                line("PROXY WEB /x to"),
            ),
            differs(
                "colours are for terminals",
                "false",
                "true",
                |running: &Running| running.log().contains('\u{1b}').to_string(),
            ),
            same("no query is in the log", "false", |running: &Running| {
                running.log().contains("secret").to_string()
            }),
        ],
    );
    let said = |level: &str| -> Vec<Fact> {
        let expected = match level {
            "info" => "info 201 true, 404 true, debug false",
            "warn" => "info 201 false, 404 true, debug false",
            _ => "info 201 false, 404 false, debug false",
        };
        vec![same(level, expected, move |running: &Running| {
            levels(running);
            let _ = running.says("503 GET /x/again");
            let log = running.log();
            format!(
                "info 201 {}, 404 {}, debug {}",
                log.contains("201 POST"),
                log.contains("404 GET"),
                log.contains("PROXY WEB")
            )
        })]
    };
    for level in ["info", "warn", "error"] {
        check(&Start::with(&["--log-level", level]), &said(level));
    }
    check(&Start::with(&["--log-level", "WARN"]), &said("warn"));
}
