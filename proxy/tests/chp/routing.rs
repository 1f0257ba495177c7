//! Which route a request takes, and what its server is asked for.

use crate::harness::{Backend, Fact, Program, Running, Start, Told, check_on, differs, same};

/// A proxy with servers behind it, each of which answers with its name.
pub(crate) struct Stage {
    pub(crate) proxy: Running,
    pub(crate) backends: Vec<(&'static str, Backend)>,
}

impl Stage {
    pub(crate) fn set(
        start: &Start,
        routes: &[(&'static str, &'static str)],
    ) -> impl Fn(Program) -> Stage + Sync {
        let (start, routes) = (start.clone(), routes.to_vec());
        move |program| {
            let proxy = start.run(program);
            let backends: Vec<_> = routes
                .iter()
                .map(|&(path, rest)| {
                    let backend = Backend::named(path);
                    proxy.route(path, &(backend.url() + rest));
                    (path, backend)
                })
                .collect();
            Stage { proxy, backends }
        }
    }

    /// Which server was asked, and for what.
    pub(crate) fn taken(&self, target: &str, headers: &str) -> String {
        let answer = self.proxy.get_with(target, headers);
        let asked: Vec<_> = self
            .backends
            .iter()
            .flat_map(|(_, backend)| backend.take())
            .map(|seen| seen.target())
            .collect();
        match answer.status().as_str() {
            "200" => format!("{} asked {}", answer.body(), asked.join(" and ")),
            other => format!("{other}{}", asked.join(" but ")),
        }
    }
}

/// What a target takes, on a host that does not matter.
fn takes(name: &str, target: &'static str, taken: &str) -> Fact<Stage> {
    same(name, taken, move |stage: &Stage| {
        stage.taken(target, "Host: h\r\n")
    })
}

#[test]
fn the_longest_prefix_wins() {
    let routes = [
        ("/", ""),
        ("/user/a", ""),
        ("/user/a/deep", ""),
        ("/user/a@b", ""),
        ("/user/a%20b", ""),
        ("/user/%C3%A9", ""),
        ("/services/x/", ""),
    ];
    check_on(
        Stage::set(&Start::default(), &routes),
        &[
            takes("the root", "/", "/ asked /"),
            takes(
                "what has no route of its own",
                "/hub/login?next=%2F",
                "/ asked /hub/login?next=%2F",
            ),
            takes(
                "a route without its slash",
                "/user/a",
                "/user/a asked /user/a",
            ),
            takes("with its slash", "/user/a/", "/user/a asked /user/a/"),
            takes(
                "below it",
                "/user/a/tree?x=1&y=%2f",
                "/user/a asked /user/a/tree?x=1&y=%2f",
            ),
            takes(
                "a longer one",
                "/user/a/deep/x",
                "/user/a/deep asked /user/a/deep/x",
            ),
            takes(
                "one that only begins like the longer one",
                "/user/a/deeper",
                "/user/a asked /user/a/deeper",
            ),
            takes(
                "one that only begins like it",
                "/user/ab/x",
                "/ asked /user/ab/x",
            ),
            takes("in other letters", "/USER/a/x", "/ asked /USER/a/x"),
            takes(
                "a sign that needs no escape",
                "/user/a@b/x",
                "/user/a@b asked /user/a@b/x",
            ),
            takes(
                "and its escape",
                "/user/a%40b/x",
                "/user/a@b asked /user/a%40b/x",
            ),
            takes(
                "a letter that needs none",
                "/us%65r/%61/x",
                "/user/a asked /us%65r/%61/x",
            ),
            takes(
                "a space",
                "/user/a%20b/x",
                "/user/a%20b asked /user/a%20b/x",
            ),
            takes(
                "another letter",
                "/user/%C3%A9/x",
                "/user/%C3%A9 asked /user/%C3%A9/x",
            ),
            takes(
                "the same, escaped in small letters",
                "/user/%c3%a9/x",
                "/user/%C3%A9 asked /user/%c3%a9/x",
            ),
            takes(
                "the same letter, put together from two",
                "/user/e%CC%81/x",
                "/ asked /user/e%CC%81/x",
            ),
            takes(
                "a route that was added with a slash",
                "/services/x",
                "/services/x/ asked /services/x",
            ),
            takes("a query alone", "/user/a?x", "/user/a asked /user/a?x"),
            differs(
                "an empty query",
                "/user/a asked /user/a/?",
                "/user/a asked /user/a/",
                |stage: &Stage| stage.taken("/user/a/?", "Host: h\r\n"),
            ),
            takes(
                "a question mark that is escaped is in the path",
                "/user/a%3Fx",
                "/ asked /user/a%3Fx",
            ),
            takes(
                "a parameter is part of its segment",
                "/user/a;x/y",
                "/ asked /user/a;x/y",
            ),
            takes(
                "an empty segment is a segment",
                "/user//a/x",
                "/ asked /user//a/x",
            ),
            takes(
                "empty segments behind the prefix",
                "/user/a//x",
                "/user/a asked /user/a//x",
            ),
            takes(
                "an escaped slash in a file's name stays",
                "/user/a/files/x%2Fy",
                "/user/a asked /user/a/files/x%2Fy",
            ),
            takes(
                "an escaped percent sign stays",
                "/user/a/x%25y%252e",
                "/user/a asked /user/a/x%25y%252e",
            ),
            takes(
                "marks in a query stay",
                "/user/a/?q=[]{}|^`:@!$&()*+,;=",
                "/user/a asked /user/a/?q=[]{}|^`:@!$&()*+,;=",
            ),
            differs(
                "also those that a browser escapes",
                "/user/a asked /user/a/?q='\"<>",
                "/user/a asked /user/a/?q=%27%22%3C%3E",
                |stage: &Stage| stage.taken("/user/a/?q='\"<>", "Host: h\r\n"),
            ),
            takes(
                "an escaped slash in a query",
                "/user/a/?next=/user/b/../c//d",
                "/user/a asked /user/a/?next=/user/b/../c//d",
            ),
            takes(
                "what has the form of a proxy's request goes by its path",
                "http://h/user/a/x",
                "/user/a asked /user/a/x",
            ),
            same(
                "a route that is gone is no longer taken",
                "/ asked /user/a/deep/x | /user/a asked /user/a/deep/x",
                |stage: &Stage| {
                    let _ = stage
                        .proxy
                        .api_call("DELETE", "/api/routes/user/a/deep", "");
                    let first = stage.taken("/user/a/deep/x", "Host: h\r\n");
                    let _ = stage.proxy.api_call("DELETE", "/api/routes/user/a", "");
                    format!("{} | {first}", stage.taken("/user/a/deep/x", "Host: h\r\n"))
                },
            ),
            same("without the root there is a 404", "404", |stage: &Stage| {
                let _ = stage.proxy.api_call("DELETE", "/api/routes/", "");
                stage.taken("/hub", "Host: h\r\n")
            }),
        ],
    );
}

#[test]
fn a_targets_path_stands_before_the_requests() {
    let routes = [
        ("/p", "/base"),
        ("/q", "/base/"),
        ("/r", "/base?a=1"),
        ("/n", ""),
    ];
    let facts = |joined: bool| {
        let expect = |with: &str, without: &str| {
            if joined {
                with.to_owned()
            } else {
                without.to_owned()
            }
        };
        vec![
            takes(
                "one slash between",
                "/p/x",
                &expect("/p asked /base/p/x", "/p asked /p/x"),
            ),
            takes(
                "also when both have it",
                "/q/x",
                &expect("/q asked /base/q/x", "/q asked /q/x"),
            ),
            takes(
                "queries are joined",
                "/r/x?b=2",
                &expect("/r asked /base/r/x?a=1&b=2", "/r asked /r/x?b=2"),
            ),
            takes(
                "a query of the target alone",
                "/r/x",
                &expect("/r asked /base/r/x?a=1", "/r asked /r/x"),
            ),
            takes("nothing to join", "/n/x?y", "/n asked /n/x?y"),
        ]
    };
    check_on(Stage::set(&Start::default(), &routes), &facts(true));
    check_on(
        Stage::set(&Start::with(&["--no-prepend-path"]), &routes),
        &facts(false),
    );
}

#[test]
fn the_prefix_can_be_left_out() {
    let routes = [
        ("/", ""),
        ("/user/a", ""),
        ("/user/b%20c", ""),
        ("/t", "/base"),
    ];
    let without = |name: &str, target: &'static str, ours: &str, peer: &str| {
        differs(name, ours, peer, move |stage: &Stage| {
            stage.taken(target, "Host: h\r\n")
        })
    };
    check_on(
        Stage::set(&Start::with(&["--no-include-prefix"]), &routes),
        &[
            takes(
                "the rest is asked for",
                "/user/a/x?y=1",
                "/user/a asked /x?y=1",
            ),
            takes("the root, with its slash", "/user/a/", "/user/a asked /"),
            takes("the root, without", "/user/a", "/user/a asked /"),
            takes("with a query", "/user/a?y=1", "/user/a asked /?y=1"),
            takes("behind the target's path", "/t/x", "/t asked /base/x"),
            without(
                "an escaped prefix is as long as it is written",
                "/user/b%20c/rest",
                "/user/b%20c asked /rest",
                "*",
            ),
            without(
                "a letter that needs no escape too",
                "/us%65r/a/rest",
                "/user/a asked /rest",
                "*",
            ),
        ],
    );
    check_on(
        Stage::set(
            &Start::with(&["--no-include-prefix", "--host-routing"]),
            &[("/h/user/a", "")],
        ),
        &[without(
            "the host is no part of what is left out",
            "/user/a/rest",
            "/h/user/a asked /rest",
            "*",
        )],
    );
}

#[test]
fn targets() {
    check_on(
        |program| {
            let proxy = Start::default().run(program);
            let socket = proxy.path.join("s.sock");
            let backend = Backend::on_socket(&socket, "socket");
            let path = socket.display().to_string().replace('/', "%2F");
            proxy.route("/unix", &format!("http+unix://{path}"));
            proxy.route("/other", &format!("unix+http://{path}"));
            proxy.route("/below", &format!("http+unix://{path}/base"));
            proxy.route("/none", "http+unix://%2Fnonexistent%2Fs");
            Stage {
                proxy,
                backends: vec![("socket", backend)],
            }
        },
        &[
            takes(
                "a server behind a socket",
                "/unix/x?y",
                "socket asked /unix/x?y",
            ),
            takes("by its other name", "/other/x", "socket asked /other/x"),
            takes("with a path", "/below/x", "socket asked /base/below/x"),
            takes("a socket that is not there", "/none/x", "503"),
            same(
                "more than one request",
                "socket asked /unix/2",
                |stage: &Stage| {
                    stage.taken("/unix/1", "Host: h\r\n");
                    stage.taken("/unix/2", "Host: h\r\n")
                },
            ),
        ],
    );
    check_on(
        |program| {
            let backend = Backend::named("default");
            let url = backend.url();
            let proxy = Start::with(&["--default-target", &url]).run(program);
            Stage {
                proxy,
                backends: vec![("default", backend)],
            }
        },
        &[
            takes(
                "the default target has what nobody else has",
                "/any/thing",
                "default asked /any/thing",
            ),
            same(
                "it is a route like others, without the Hub's mark",
                "true null",
                |stage: &Stage| {
                    let kept = stage.proxy.routed("");
                    format!(
                        "{} {}",
                        kept["/"]["target"].is_string(),
                        kept["/"]["jupyterhub"]
                    )
                },
            ),
            same("it can be replaced", "503", |stage: &Stage| {
                stage.proxy.route("/", "http://127.0.0.1:1");
                stage.taken("/", "Host: h\r\n")
            }),
        ],
    );
}
