//! What of a request's head reaches the server, and what of an answer's head comes back.

use crate::backend::Backend;
use crate::facts::{Fact, check_on, differs, ours, same};
use crate::program::{Program, Running, Start};
use crate::wire::Told;

/// A proxy with one server behind it.
struct Stage {
    proxy: Running,
    back: Backend,
}

impl Stage {
    fn set(start: Start) -> impl Fn(Program) -> Stage + Sync {
        move |program| {
            let proxy = start.run(program);
            let back = Backend::named("back");
            proxy.route("/", &back.url());
            Stage { proxy, back }
        }
    }

    /// A header that reached the server, its lines joined, for a request with these headers.
    fn reached(&self, headers: &str, name: &str) -> String {
        let answer = self.proxy.get_with("/x", headers);
        match answer.status().as_str() {
            "200" => self.back.last().header(name).replace(" | ", ", "),
            other => other.to_owned(),
        }
    }

    /// A header of what the client is answered, when the server answers with this head.
    fn came_back(&self, head: &str, name: &str) -> String {
        self.answered("GET", head).header(name)
    }

    fn answered(
        &self,
        method: &str,
        head: &str,
    ) -> Result<crate::wire::Answer, crate::wire::Nothing> {
        self.answered_to(
            &format!("{method} /fixed HTTP/1.1\r\nHost: public.example:99\r\n\r\n"),
            head,
        )
    }

    fn answered_to(
        &self,
        request: &str,
        head: &str,
    ) -> Result<crate::wire::Answer, crate::wire::Nothing> {
        let back = Backend::answering(head.to_owned());
        self.proxy.route("/fixed", &back.url());
        let mut client = self.proxy.connect();
        client.send(request);
        client.answer_to(request.split(' ').next().unwrap_or_default())
    }
}

fn reaches(name: &str, headers: &'static str, header: &'static str, value: &str) -> Fact<Stage> {
    same(name, value, move |stage: &Stage| {
        stage.reached(headers, header)
    })
}

fn reaches_by(
    name: &str,
    headers: &'static str,
    header: &'static str,
    ours: &str,
    peer: &str,
) -> Fact<Stage> {
    differs(name, ours, peer, move |stage: &Stage| {
        stage.reached(headers, header)
    })
}

#[test]
fn who_asks_is_told() {
    const SPOOFED: &str = "Host: h\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Host: other\r\n";
    check_on(
        Stage::set(Start::default()),
        &[
            reaches(
                "the client's address",
                "Host: h\r\n",
                "x-forwarded-for",
                "127.0.0.1",
            ),
            reaches("the scheme", "Host: h\r\n", "x-forwarded-proto", "http"),
            reaches(
                "the port is the scheme's",
                "Host: h\r\n",
                "x-forwarded-port",
                "80",
            ),
            reaches(
                "or the one that Host names",
                "Host: h:8443\r\n",
                "x-forwarded-port",
                "8443",
            ),
            reaches("the host", "Host: h:8443\r\n", "x-forwarded-host", "h:8443"),
            reaches(
                "an address is appended to what was claimed",
                SPOOFED,
                "x-forwarded-for",
                "1.2.3.4,127.0.0.1",
            ),
            reaches("a scheme too", SPOOFED, "x-forwarded-proto", "https,http"),
            reaches("a port too", SPOOFED, "x-forwarded-port", "443,80"),
            reaches(
                "a host that was claimed is kept",
                SPOOFED,
                "x-forwarded-host",
                "other",
            ),
            reaches(
                "Host is what the client said",
                "Host: h:8443\r\n",
                "host",
                "h:8443",
            ),
            reaches("no Via", "Host: h\r\n", "via", "-"),
            reaches("no id", "Host: h\r\n", "x-request-id", "-"),
            reaches("no Forwarded", "Host: h\r\n", "forwarded", "-"),
            reaches(
                "a Forwarded passes",
                "Host: h\r\nForwarded: for=1.2.3.4\r\n",
                "forwarded",
                "for=1.2.3.4",
            ),
            reaches(
                "an id passes",
                "Host: h\r\nX-Request-Id: 7\r\n",
                "x-request-id",
                "7",
            ),
            reaches(
                "X-Scheme passes",
                "Host: h\r\nX-Scheme: https\r\n",
                "x-scheme",
                "https",
            ),
        ],
    );
    check_on(
        Stage::set(Start::with(&["--no-x-forward"])),
        &[
            reaches(
                "nothing is told when that is wished",
                "Host: h\r\n",
                "x-forwarded-for",
                "-",
            ),
            reaches("no host", "Host: h\r\n", "x-forwarded-host", "-"),
            reaches("no scheme", "Host: h\r\n", "x-forwarded-proto", "-"),
            reaches(
                "what was claimed passes",
                SPOOFED,
                "x-forwarded-for",
                "1.2.3.4",
            ),
        ],
    );
    let trusting = |name: &str, header: &'static str, value: &str| -> Fact<Stage> {
        ours(name, value, move |stage: &Stage| {
            stage.reached(SPOOFED, header)
        })
    };
    check_on(
        Stage::set(Start::with(&["--trusted-proxies", "10.0.0.0/8,::1/128"])),
        &[
            trusting(
                "a stranger's address replaces what it claims",
                "x-forwarded-for",
                "127.0.0.1",
            ),
            trusting("its scheme too", "x-forwarded-proto", "http"),
            trusting("its port too", "x-forwarded-port", "80"),
            trusting("its host too", "x-forwarded-host", "h"),
            ours("nor does an underscore help", "-", |stage: &Stage| {
                stage.reached("Host: h\r\nX_Forwarded_For: 1.2.3.4\r\n", "x_forwarded_for")
            }),
        ],
    );
    check_on(
        Stage::set(Start::with(&["--trusted-proxies", "127.0.0.0/8"])),
        &[
            trusting(
                "a trusted proxy's word is continued",
                "x-forwarded-for",
                "1.2.3.4*127.0.0.1",
            ),
            trusting("its scheme is kept", "x-forwarded-proto", "https*"),
            trusting("its host is kept", "x-forwarded-host", "other"),
        ],
    );
}

#[test]
fn what_is_about_one_connection_ends_there() {
    check_on(
        Stage::set(Start::default()),
        &[
            reaches(
                "a header of the client's",
                "Host: h\r\nX-Auth: 1\r\n",
                "x-auth",
                "1",
            ),
            reaches_by(
                "named by Connection",
                "Host: h\r\nConnection: X-Auth\r\nX-Auth: 1\r\n",
                "x-auth",
                "-",
                "1",
            ),
            reaches_by(
                "named among others, in other letters",
                "Host: h\r\nConnection: close, x-AUTH\r\nX-Auth: 1\r\n",
                "x-auth",
                "-",
                "1",
            ),
            reaches(
                "Cookie cannot be named",
                "Host: h\r\nConnection: Cookie\r\nCookie: a=b\r\n",
                "cookie",
                "a=b",
            ),
            reaches(
                "nor Authorization",
                "Host: h\r\nConnection: authorization\r\nAuthorization: token x\r\n",
                "authorization",
                "token x",
            ),
            reaches("nor Host", "Host: h\r\nConnection: Host\r\n", "host", "h"),
            reaches(
                "nor X-Forwarded-For",
                "Host: h\r\nConnection: X-Forwarded-For\r\n",
                "x-forwarded-for",
                "127.0.0.1",
            ),
            reaches(
                "nor X-Forwarded-Host",
                "Host: h\r\nConnection: X-Forwarded-Host, X-Forwarded-Proto\r\n",
                "x-forwarded-host",
                "h",
            ),
            reaches_by(
                "Connection itself",
                "Host: h\r\nConnection: X-Auth\r\n",
                "connection",
                "*",
                "X-Auth",
            ),
            ours("names nothing to the server", "false", |stage: &Stage| {
                stage
                    .reached("Host: h\r\nConnection: X-Auth\r\n", "connection")
                    .contains("Auth")
                    .to_string()
            }),
            reaches_by(
                "Keep-Alive",
                "Host: h\r\nKeep-Alive: timeout=9\r\n",
                "keep-alive",
                "-",
                "timeout=9",
            ),
            reaches_by(
                "Proxy-Connection",
                "Host: h\r\nProxy-Connection: keep-alive\r\n",
                "proxy-connection",
                "-",
                "keep-alive",
            ),
            reaches_by(
                "Proxy-Authorization",
                "Host: h\r\nProxy-Authorization: Basic x\r\n",
                "proxy-authorization",
                "-",
                "Basic x",
            ),
            reaches_by("TE", "Host: h\r\nTE: trailers\r\n", "te", "-", "trailers"),
            reaches("Trailer", "Host: h\r\nTrailer: X\r\n", "trailer", "-"),
            reaches_by(
                "Upgrade to something else",
                "Host: h\r\nConnection: Upgrade\r\nUpgrade: foo\r\n",
                "upgrade",
                "-",
                "closed",
            ),
            reaches_by(
                "Transfer_Encoding, which looks like another",
                "Host: h\r\nTransfer_Encoding: chunked\r\n",
                "transfer_encoding",
                "-",
                "chunked",
            ),
            reaches_by(
                "Content_Length",
                "Host: h\r\nContent_Length: 5\r\n",
                "content_length",
                "-",
                "5",
            ),
        ],
    );
}

#[test]
fn everything_else_passes() {
    check_on(
        Stage::set(Start::default()),
        &[
            reaches(
                "cookies",
                "Host: h\r\nCookie: a=1; b=\"x y\"\r\n",
                "cookie",
                "a=1; b=\"x y\"",
            ),
            reaches(
                "a token",
                "Host: h\r\nAuthorization: token x\r\n",
                "authorization",
                "token x",
            ),
            reaches(
                "kinds",
                "Host: h\r\nAccept-Encoding: gzip, br\r\n",
                "accept-encoding",
                "gzip, br",
            ),
            reaches(
                "where from",
                "Host: h\r\nOrigin: https://o\r\n",
                "origin",
                "https://o",
            ),
            reaches(
                "lines of one name",
                "Host: h\r\nX-A: 1\r\nX-A: 2\r\n",
                "x-a",
                "1, 2",
            ),
            reaches("an empty value", "Host: h\r\nX-A:\r\n", "x-a", ""),
            reaches(
                "white space around is nothing",
                "Host: h\r\nX-A: \t b \t\r\n",
                "x-a",
                "b",
            ),
            reaches(
                "letters beyond ASCII",
                "Host: h\r\nX-A: \u{e9}\r\n",
                "x-a",
                "\u{e9}",
            ),
            same(
                "two lines of cookies are one header or two",
                "a=1; b=2",
                |stage: &Stage| {
                    stage
                        .reached("Host: h\r\nCookie: a=1\r\nCookie: b=2\r\n", "cookie")
                        .replace(", ", "; ")
                },
            ),
            differs(
                "names keep their letters",
                "true",
                "false",
                |stage: &Stage| {
                    let _ = stage.proxy.get_with("/x", "Host: h\r\nX-OddCase: 1\r\n");
                    stage.back.last().head.contains("X-OddCase: 1").to_string()
                },
            ),
            same(
                "the server is spoken to in HTTP/1.1",
                "GET /x HTTP/1.1",
                |stage: &Stage| {
                    let _ = stage.proxy.get("/x");
                    stage
                        .back
                        .last()
                        .head
                        .lines()
                        .next()
                        .unwrap_or_default()
                        .to_owned()
                },
            ),
            same(
                "a client of HTTP/1.0 too",
                "GET /x HTTP/1.1 h",
                |stage: &Stage| {
                    let _ = stage.proxy.ask("GET /x HTTP/1.0\r\nHost: h\r\n\r\n");
                    let seen = stage.back.last();
                    format!(
                        "{} {}",
                        seen.head.lines().next().unwrap_or_default(),
                        seen.header("host")
                    )
                },
            ),
            same(
                "without a host it gets the target's",
                "true",
                |stage: &Stage| {
                    let _ = stage.proxy.ask("GET /x HTTP/1.0\r\n\r\n");
                    (stage.back.last().header("host") == stage.back.address.to_string()).to_string()
                },
            ),
        ],
    );
}

#[test]
fn headers_of_the_operator() {
    check_on(
        Stage::set(Start::with(&[
            "--custom-header",
            "X-One: 1",
            "--custom-header",
            "X-Two:a:b",
            "--custom-header",
            "  x-three  :  c d  ",
            "--custom-header",
            "X-Empty:",
        ])),
        &[
            reaches("a header", "Host: h\r\n", "x-one", "1"),
            reaches(
                "in place of the client's",
                "Host: h\r\nX-One: 2\r\nx-one: 3\r\n",
                "x-one",
                "1",
            ),
            reaches("parted at the first colon", "Host: h\r\n", "x-two", "a:b"),
            reaches("without the space around", "Host: h\r\n", "x-three", "c d"),
            reaches("without a value", "Host: h\r\n", "x-empty", ""),
            same("for websockets too", "1", |stage: &Stage| {
                stage.reached("Host: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "x-one")
            }),
            reaches(
                "Connection cannot name it",
                "Host: h\r\nConnection: X-One\r\n",
                "x-one",
                "1",
            ),
        ],
    );
    check_on(
        Stage::set(Start::with(&["--change-origin"])),
        &[
            same("Host becomes the target's", "true", |stage: &Stage| {
                (stage.reached("Host: h\r\n", "host") == stage.back.address.to_string()).to_string()
            }),
            reaches(
                "what the client said is told besides",
                "Host: h\r\n",
                "x-forwarded-host",
                "h",
            ),
            same("the start says so", "true", |stage: &Stage| {
                stage
                    .proxy
                    .says("Change Origin of host headers enabled.")
                    .to_string()
            }),
        ],
    );
}

const REDIRECT: &str = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ";

#[test]
fn redirects() {
    // The target's own address is written TARGET in these answers.
    let location = |name: &str, status: &'static str, given: &'static str, expected: &str| {
        same(name, expected, move |stage: &Stage| {
            let back = Backend::doing(move |mut client, _| {
                while let Ok(head) = client.head() {
                    let target = crate::wire::header(&head, "x-target").unwrap_or_default();
                    let given = given.replace("TARGET", &target);
                    client.send(format!(
                        "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nLocation: {given}\r\n\r\n"
                    ));
                }
            });
            stage.proxy.route("/", &back.url());
            let target = back.address;
            stage
                .proxy
                .get_with(
                    "/x",
                    &format!("Host: public.example:99\r\nX-Target: {target}\r\n"),
                )
                .header("location")
                .replace(&target.to_string(), "TARGET")
        })
    };
    check_on(
        Stage::set(Start::default()),
        &[
            location(
                "redirects pass",
                "302",
                "http://TARGET/p?q#f",
                "http://TARGET/p?q#f",
            ),
            location("relative ones too", "302", "/p", "/p"),
        ],
    );
    check_on(
        Stage::set(Start::with(&["--auto-rewrite"])),
        &[
            location(
                "301",
                "301",
                "http://TARGET/p?q#f",
                "http://public.example:99/p?q#f",
            ),
            location(
                "302",
                "302",
                "http://TARGET/p",
                "http://public.example:99/p",
            ),
            location(
                "307",
                "307",
                "http://TARGET/p",
                "http://public.example:99/p",
            ),
            location(
                "308",
                "308",
                "http://TARGET/p",
                "http://public.example:99/p",
            ),
            location(
                "201",
                "201",
                "http://TARGET/p",
                "http://public.example:99/p",
            ),
            location(
                "303 is not among them",
                "303",
                "http://TARGET/p",
                "http://TARGET/p",
            ),
            location("nor 200", "200", "http://TARGET/p", "http://TARGET/p"),
            location(
                "another host is left alone",
                "302",
                "http://other/p",
                "http://other/p",
            ),
            location(
                "another port too",
                "302",
                "http://127.0.0.1:1/p",
                "http://127.0.0.1:1/p",
            ),
            location("a relative one too", "302", "/p", "/p"),
            same("the start says so", "true", |stage: &Stage| {
                stage
                    .proxy
                    .says("AutoRewrite of Location headers enabled.")
                    .to_string()
            }),
        ],
    );
    check_on(
        Stage::set(Start::with(&["--protocol-rewrite", "https"])),
        &[
            location(
                "the scheme alone",
                "302",
                "http://TARGET/p",
                "https://TARGET/p",
            ),
            location(
                "another host is left alone",
                "302",
                "http://other/p",
                "http://other/p",
            ),
            same("the start says so", "true", |stage: &Stage| {
                stage
                    .proxy
                    .says("ProtocolRewrite enabled. Rewriting to https")
                    .to_string()
            }),
        ],
    );
    check_on(
        Stage::set(Start::with(&[
            "--auto-rewrite",
            "--protocol-rewrite",
            "https",
        ])),
        &[location(
            "both",
            "302",
            "http://TARGET/p",
            "https://public.example:99/p",
        )],
    );
    check_on(
        Stage::set(Start::with(&["--auto-rewrite", "--change-origin"])),
        &[same(
            "with the target's own Host there is nothing to rewrite to",
            "true",
            |stage: &Stage| {
                let location =
                    stage.came_back(&format!("{REDIRECT}http://other/p\r\n\r\n"), "location");
                (location == "http://other/p").to_string()
            },
        )],
    );
}

#[test]
fn answers_come_back() {
    let back = |name: &str, head: &'static str, header: &'static str, value: &str| -> Fact<Stage> {
        same(name, value, move |stage: &Stage| {
            stage.came_back(head, header)
        })
    };
    let differ = |name: &str,
                  head: &'static str,
                  header: &'static str,
                  ours: &str,
                  peer: &str|
     -> Fact<Stage> {
        differs(name, ours, peer, move |stage: &Stage| {
            stage.came_back(head, header)
        })
    };
    check_on(
        Stage::set(Start::default()),
        &[
            same(
                "words of the status are kept",
                "HTTP/1.1 299 Very Well",
                |stage: &Stage| match stage
                    .answered("GET", "HTTP/1.1 299 Very Well\r\nContent-Length: 0\r\n\r\n")
                {
                    Ok(answer) => answer.head.lines().next().unwrap_or_default().to_owned(),
                    Err(nothing) => nothing.told().to_owned(),
                },
            ),
            back(
                "each cookie is a line",
                "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: __Host-b=2; Secure\r\nContent-Length: 0\r\n\r\n",
                "set-cookie",
                "a=1; Path=/ | __Host-b=2; Secure",
            ),
            back(
                "the server's name",
                "HTTP/1.1 200 OK\r\nServer: tornado\r\nContent-Length: 0\r\n\r\n",
                "server",
                "tornado",
            ),
            back(
                "no name is added",
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                "server",
                "-",
            ),
            back(
                "no Via",
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                "via",
                "-",
            ),
            back(
                "a date is kept",
                "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
                "date",
                "Thu, 01 Jan 1970 00:00:00 GMT",
            ),
            back(
                "or added",
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                "date",
                "*, * * * *:*:* GMT",
            ),
            back(
                "tags",
                "HTTP/1.1 200 OK\r\nETag: W/\"x\"\r\nContent-Length: 0\r\n\r\n",
                "etag",
                "W/\"x\"",
            ),
            back(
                "rules for browsers",
                "HTTP/1.1 200 OK\r\nContent-Security-Policy: frame-ancestors 'self'\r\nContent-Length: 0\r\n\r\n",
                "content-security-policy",
                "frame-ancestors 'self'",
            ),
            differ(
                "a header named by Connection is not",
                "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n",
                "x-hop",
                "-",
                "1",
            ),
            differ(
                "Keep-Alive is not",
                "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=77\r\nContent-Length: 0\r\n\r\n",
                "keep-alive",
                "*",
                "timeout=77",
            ),
            ours("not the server's", "false", |stage: &Stage| {
                stage
                    .came_back(
                        "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=77\r\nContent-Length: 0\r\n\r\n",
                        "keep-alive",
                    )
                    .contains("77")
                    .to_string()
            }),
            differ(
                "Proxy-Authenticate is not",
                "HTTP/1.1 200 OK\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
                "proxy-authenticate",
                "-",
                "Basic",
            ),
            differ(
                "Upgrade without a 101 is not",
                "HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
                "upgrade",
                "-",
                "h2c",
            ),
            ours(
                "what a server closes stays open to the client",
                "open",
                |stage: &Stage| {
                    let back = Backend::answering(
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
                    );
                    stage.proxy.route("/fixed", &back.url());
                    let mut client = stage.proxy.connect();
                    client.send("GET /fixed HTTP/1.1\r\nHost: h\r\n\r\n");
                    let _ = client.answer();
                    client.state().to_owned()
                },
            ),
            same(
                "HEAD has the length and no body",
                "200 5 open",
                |stage: &Stage| {
                    let back = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
                    stage.proxy.route("/fixed", &back.url());
                    let mut client = stage.proxy.connect();
                    client.send("HEAD /fixed HTTP/1.1\r\nHost: h\r\n\r\n");
                    let answer = client.answer_to("HEAD");
                    format!(
                        "{} {} {}",
                        answer.status(),
                        answer.header("content-length"),
                        client.state()
                    )
                },
            ),
            same("304 has no body", "304 \"x\" open", |stage: &Stage| {
                let back = Backend::answering("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n");
                stage.proxy.route("/fixed", &back.url());
                let mut client = stage.proxy.connect();
                client.send("GET /fixed HTTP/1.1\r\nHost: h\r\n\r\n");
                let answer = client.answer();
                format!(
                    "{} {} {}",
                    answer.status(),
                    answer.header("etag"),
                    client.state()
                )
            }),
            same("204 neither", "204 - - open", |stage: &Stage| {
                let back = Backend::answering("HTTP/1.1 204 No Content\r\n\r\n");
                stage.proxy.route("/fixed", &back.url());
                let mut client = stage.proxy.connect();
                client.send("DELETE /fixed HTTP/1.1\r\nHost: h\r\n\r\n");
                let answer = client.answer();
                format!(
                    "{} {} {} {}",
                    answer.status(),
                    answer.header("content-length"),
                    answer.header("transfer-encoding"),
                    client.state()
                )
            }),
            same("a chunked body", "200 chunked hello", |stage: &Stage| {
                let answer = stage.answered("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n");
                format!(
                    "{} {} {}",
                    answer.status(),
                    answer.header("transfer-encoding"),
                    answer.body()
                )
            }),
            same(
                "a body that ends with its connection",
                "200 hello",
                |stage: &Stage| {
                    stage
                        .answered("GET", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
                        .told()
                },
            ),
            same("a server of HTTP/1.0", "200 hello", |stage: &Stage| {
                stage
                    .answered("GET", "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello")
                    .told()
            }),
            same(
                "a client of HTTP/1.0 gets no chunks",
                "200 - hello",
                |stage: &Stage| {
                    let answer = stage.answered_to("GET /fixed HTTP/1.0\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
                    format!(
                        "{} {} {}",
                        answer.status(),
                        answer.header("transfer-encoding"),
                        answer.body()
                    )
                },
            ),
            same(
                "compressed bodies are not looked into",
                "gzip",
                |stage: &Stage| {
                    stage.came_back(
                        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz",
                        "content-encoding",
                    )
                },
            ),
        ],
    );
}
