//! What of an answer comes back.

use crate::harness::{Backend, Fact, Stage, Start, Told, check_on, differs, ours, same};

#[test]
fn answers_come_back() {
    let back = |name: &str, head: &'static str, header: &'static str, value: &str| -> Fact<Stage> {
        same(name, value, move |stage: &Stage| {
            stage.answered(head).header(header)
        })
    };
    let differ = |name: &str,
                  head: &'static str,
                  header: &'static str,
                  ours: &str,
                  peer: &str|
     -> Fact<Stage> {
        differs(name, ours, peer, move |stage: &Stage| {
            stage.answered(head).header(header)
        })
    };
    check_on(
        Stage::set(Start::default()),
        &[
            same(
                "words of the status are kept",
                "HTTP/1.1 299 Very Well",
                |stage: &Stage| match stage
                    .answered("HTTP/1.1 299 Very Well\r\nContent-Length: 0\r\n\r\n")
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
                    .answered(
                        "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=77\r\nContent-Length: 0\r\n\r\n",
                    )
                    .header("keep-alive")
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
                let answer = stage.answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n");
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
                        .answered("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
                        .told()
                },
            ),
            same("a server of HTTP/1.0", "200 hello", |stage: &Stage| {
                stage
                    .answered("HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello")
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
                    stage.answered("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz").header("content-encoding")
                },
            ),
        ],
    );
}
