//! Which route a request takes when its host matters.

use crate::harness::{Backend, Start, Told, check_on, differs, ours, same};
use crate::routing::Stage;

#[test]
fn by_host() {
    let routes = [
        ("/", ""),
        ("/a.example", ""),
        ("/a.example/user/x", ""),
        ("/b.example", ""),
        ("/xn--e1afmkfd.example", ""),
    ];
    let host = |name: &str, host: &'static str, both: &str| {
        same(name, both, move |stage: &Stage| {
            stage.taken("/user/x/y", &format!("Host: {host}\r\n"))
        })
    };
    let better = |name: &str, host: &'static str, ours: &str, peer: &str| {
        differs(name, ours, peer, move |stage: &Stage| {
            stage.taken("/user/x/y", &format!("Host: {host}\r\n"))
        })
    };
    check_on(
        Stage::set(&Start::with(&["--host-routing"]), &routes),
        &[
            host(
                "a host and a prefix",
                "a.example",
                "/a.example/user/x asked /user/x/y",
            ),
            host(
                "its port does not matter",
                "a.example:8443",
                "/a.example/user/x asked /user/x/y",
            ),
            host("another host", "b.example", "/b.example asked /user/x/y"),
            host(
                "a host that nobody knows has the root",
                "c.example",
                "/ asked /user/x/y",
            ),
            host(
                "one that only begins like it",
                "a.example.evil",
                "/ asked /user/x/y",
            ),
            host(
                "one that only ends like it",
                "evil-a.example",
                "/ asked /user/x/y",
            ),
            host(
                "international names",
                "xn--e1afmkfd.example",
                "/xn--e1afmkfd.example asked /user/x/y",
            ),
            better(
                "capital letters",
                "A.Example",
                "/a.example/user/x asked /user/x/y",
                "/ asked /user/x/y",
            ),
            better(
                "a dot at its end",
                "a.example.",
                "/a.example/user/x asked /user/x/y",
                "/ asked /user/x/y",
            ),
            same(
                "the host of what has the form of a proxy's request",
                "/b.example asked /user/x/y",
                |stage: &Stage| stage.taken("http://b.example/user/x/y", "Host: b.example\r\n"),
            ),
            better(
                "an address in brackets",
                "[::1]:8000",
                "/ asked /user/x/y",
                "/ asked /user/x/y",
            ),
        ],
    );
    check_on(
        Stage::set(&Start::with(&["--host-routing"]), &[("/a.example", "")]),
        &[same(
            "without a root, unknown hosts get a 404",
            "404",
            |stage: &Stage| stage.taken("/", "Host: c.example\r\n"),
        )],
    );
    check_on(
        |program| {
            let proxy = Start::with(&["--host-routing"]).run(program);
            let (host, path) = (Backend::named("host"), Backend::named("path"));
            proxy.route("/a.example", &host.url());
            let body = format!(r#"{{"target":"{}","host":"*"}}"#, path.url());
            let posted = proxy
                .api_call("POST", "/api/routes/services/s", &body)
                .status();
            assert_eq!(posted, "201");
            Stage {
                proxy,
                backends: vec![("host", host), ("path", path)],
            }
        },
        &[
            ours(
                "a route can be for every host",
                "path asked /services/s/x",
                |stage: &Stage| stage.taken("/services/s/x", "Host: c.example\r\n"),
            ),
            ours("beside those of one", "host asked /x", |stage: &Stage| {
                stage.taken("/x", "Host: a.example\r\n")
            }),
            ours(
                "it stays what it was posted as",
                "\"*\"",
                |stage: &Stage| stage.proxy.routed("/services/s")["host"].to_string(),
            ),
        ],
    );
}
