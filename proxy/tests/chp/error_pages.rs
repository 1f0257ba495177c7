//! Pages for failures that the operator brings: files of a directory, or answers of a server.

use crate::errors::DEAD;
use crate::harness::{
    Backend, Program, Running, Seen, Start, Told, check, check_on, differs, ours, same,
    websocket_request,
};

#[test]
fn pages_of_a_directory() {
    let pages = |files: &'static [(&'static str, &'static str)]| {
        move |program: Program| {
            let dir = tempfile::tempdir().unwrap();
            for (name, text) in files {
                std::fs::write(dir.path().join(name), text).unwrap();
            }
            let path = dir.path().display().to_string();
            let running = Start::with(&["--error-path", &path]).run(program);
            running.route("/dead", DEAD);
            (running, dir)
        }
    };
    type Stage = (Running, tempfile::TempDir);
    check_on(
        pages(&[
            ("404.html", "<p>nobody</p>"),
            ("error.html", "<p>something</p>"),
        ]),
        &[
            same(
                "a page of its own",
                "404 text/html* <p>nobody</p>",
                |(running, _): &Stage| {
                    let answer = running.get("/x");
                    format!(
                        "{} {} {}",
                        answer.status(),
                        answer.header("content-type"),
                        answer.body()
                    )
                },
            ),
            same(
                "the page for all others",
                "503 text/html* <p>something</p>",
                |(running, _): &Stage| {
                    let answer = running.get("/dead");
                    format!(
                        "{} {} {}",
                        answer.status(),
                        answer.header("content-type"),
                        answer.body()
                    )
                },
            ),
            differs(
                "a page that changes meanwhile is kept as it was",
                "404 <p>nobody</p>",
                "404 <p>new</p>",
                |(running, dir): &Stage| {
                    std::fs::write(dir.path().join("404.html"), "<p>new</p>").unwrap();
                    running.get("/x").told()
                },
            ),
        ],
    );
    check_on(
        pages(&[]),
        &[
            same(
                "without a page there are the status' words",
                "404 Not Found",
                |(running, _): &Stage| running.get("/x").told(),
            ),
            same(
                "for the other too",
                "503 Service Unavailable",
                |(running, _): &Stage| running.get("/dead").told(),
            ),
        ],
    );
}

/// A proxy whose pages come from a server.
struct Served {
    running: Running,
    pages: Backend,
}

impl Served {
    fn with(answer: &'static str, rest: &'static str) -> impl Fn(Program) -> Served + Sync {
        move |program| {
            let pages = Backend::answering(answer);
            let running = Start::with(&["--error-target", &(pages.url() + rest)]).run(program);
            running.route("/dead", DEAD);
            Served { running, pages }
        }
    }
}

#[test]
fn pages_of_a_server() {
    check_on(
        Served::with(
            "HTTP/1.1 200 OK\r\nContent-Type: text/x-page\r\nContent-Encoding: identity\r\nX-More: 1\r\nSet-Cookie: a=b\r\nContent-Length: 4\r\n\r\npage",
            "/hub/error",
        ),
        &[
            same(
                "its page, with our status",
                "503 page",
                |served: &Served| served.running.get("/dead").told(),
            ),
            same("its kind", "text/x-page identity", |served: &Served| {
                let answer = served.running.get("/dead");
                format!(
                    "{} {}",
                    answer.header("content-type"),
                    answer.header("content-encoding")
                )
            }),
            same("nothing else of its head", "- -", |served: &Served| {
                let answer = served.running.get("/dead");
                format!(
                    "{} {}",
                    answer.header("x-more"),
                    answer.header("set-cookie")
                )
            }),
            same(
                "it is asked with status and address",
                "GET /hub/error/404?url=%2Fx%2Fy%3Fa%3Db%26c%3D%2525",
                |served: &Served| {
                    served.pages.take();
                    let _ = served.running.get("/x/y?a=b&c=%25");
                    served.pages.last().line()
                },
            ),
            same(
                "by GET, whatever was asked",
                "GET /hub/error/503?url=%2Fdead",
                |served: &Served| {
                    let _ = served
                        .running
                        .ask("POST /dead HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
                    served.pages.last().line()
                },
            ),
            same("without the client's cookies", "- -", |served: &Served| {
                let _ = served
                    .running
                    .get_with("/x", "Host: h\r\nCookie: a=b\r\nAuthorization: token x\r\n");
                let seen = served.pages.last();
                format!("{} {}", seen.header("cookie"), seen.header("authorization"))
            }),
            same(
                "it is not asked for websockets",
                "404 0",
                |served: &Served| {
                    served.pages.take();
                    let mut client = served.running.connect();
                    client.send(websocket_request("/none", ""));
                    let head = client.head().unwrap_or_default();
                    format!(
                        "{} {}",
                        head.split([' ', '\r']).nth(1).unwrap_or("-"),
                        served.pages.take().len()
                    )
                },
            ),
            same("HEAD has no body", "404 open", |served: &Served| {
                let mut client = served.running.connect();
                client.send("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n");
                format!("{} {}", client.answer_to("HEAD").status(), client.state())
            }),
            ours(
                "bytes that would be lines do not become lines",
                "1 GET /hub/error/404?url=%2Fx%250d%250aX%3A*",
                |served: &Served| {
                    served.pages.take();
                    let _ = served.running.get("/x%0d%0aX:%20y");
                    let seen = served.pages.take();
                    format!(
                        "{} {}",
                        seen.len(),
                        seen.first().map(Seen::line).unwrap_or_default()
                    )
                },
            ),
        ],
    );
    check_on(
        Served::with("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage", ""),
        &[
            same(
                "a target without a path",
                "GET /404?url=%2Fx",
                |served: &Served| {
                    let _ = served.running.get("/x");
                    served.pages.last().line()
                },
            ),
            same(
                "a page that has no kind",
                "404 page -",
                |served: &Served| {
                    let answer = served.running.get("/x");
                    format!("{} {}", answer.told(), answer.header("content-type"))
                },
            ),
        ],
    );
    check_on(
        Served::with(
            "HTTP/1.1 500 Oh\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\noh",
            "/",
        ),
        &[same(
            "a page that comes with a failure of its own is a page",
            "404 oh",
            |served: &Served| served.running.get("/x").told(),
        )],
    );
    check(
        &Start::with(&["--error-target", DEAD]),
        &[
            same(
                "when the pages' server is away there are the status' words",
                "404 Not Found",
                |running: &Running| running.get("/x").told(),
            ),
            same("and the log says so", "true", |running: &Running| {
                running.says("Failed to get custom error page").to_string()
            }),
        ],
    );
    check_on(
        |program| {
            let dir = tempfile::tempdir().unwrap();
            let socket = dir.path().join("pages");
            let pages = Backend::on_socket(&socket, "page");
            let path = socket.display().to_string().replace('/', "%2F");
            let running =
                Start::with(&["--error-target", &format!("http+unix://{path}/e")]).run(program);
            (Served { running, pages }, dir)
        },
        &[same(
            "a server behind a socket",
            "404 page GET /e/404?url=%2Fx",
            |(served, _): &(Served, tempfile::TempDir)| {
                let answer = served.running.get("/x").told();
                format!("{answer} {}", served.pages.last().line())
            },
        )],
    );
}
