//! Answers before the answer, and what comes behind one.

use std::sync::Mutex;
use std::sync::mpsc;

use crate::harness::{
    Backend, PATIENCE, Running, SILENCE, Start, Told, check, differs, header, ours, same,
};

#[test]
fn interim_answers() {
    check(
        &Start::default(),
        &[
            differs(
                "100-continue is the server's to say",
                "expectation 100-continue, 100 after it",
                "expectation 100-continue, 100 at once",
                |running: &Running| {
                    let (go, went) = mpsc::channel::<()>();
                    let went = Mutex::new(went);
                    let (tell, told) = mpsc::channel();
                    let tell = Mutex::new(tell);
                    let back = Backend::doing(move |mut client, _| {
                        let head = client.head().unwrap_or_default();
                        let _ = tell
                            .lock()
                            .unwrap()
                            .send(header(&head, "expect").unwrap_or_default());
                        let _ = went.lock().unwrap().recv_timeout(PATIENCE);
                        client.send("HTTP/1.1 100 Continue\r\n\r\n");
                        let body = client.exactly(2).unwrap_or_default();
                        client.send(format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}"
                        ));
                        client.rest();
                    });
                    running.route("/expect", &back.url());
                    let mut client = running.connect();
                    client.send("POST /expect HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
                    let expectation = told.recv_timeout(PATIENCE).unwrap_or_default();
                    client.patient(SILENCE);
                    let when = if client.some_is_there().is_ok() {
                        "at once"
                    } else {
                        "after it"
                    };
                    let _ = go.send(());
                    client.patient(PATIENCE);
                    let interim = client.head().unwrap_or_default();
                    client.send("hi");
                    let body = client.answer().body();
                    let status = interim.split(' ').nth(1).unwrap_or("-");
                    if body == "hi" {
                        format!("expectation {expectation}, {status} {when}")
                    } else {
                        format!("{body} instead of the body")
                    }
                },
            ),
            ours(
                "a server that refuses at once is heard",
                "417",
                |running: &Running| {
                    let back = Backend::doing(|mut client, _| {
                        let _ = client.head();
                        client.send("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
                        client.rest();
                    });
                    running.route("/refuses", &back.url());
                    let mut client = running.connect();
                    client.send("POST /refuses HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
                    client.answer().status()
                },
            ),
            same(
                "a server that does not know the word is no hindrance",
                "200 ok",
                |running: &Running| {
                    let back = Backend::named("ok");
                    running.route("/deaf", &back.url());
                    let mut client = running.connect();
                    client.send("POST /deaf HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi");
                    client.answer().told()
                },
            ),
            differs(
                "103 is passed on",
                "103 </a.css> 200",
                " 200",
                |running: &Running| {
                    let back = Backend::answering(
                        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                    );
                    running.route("/hints", &back.url());
                    match running.get("/hints") {
                        Ok(answer) => {
                            let hints: Vec<_> = answer
                                .interim
                                .iter()
                                .map(|head| {
                                    let status = head.split(' ').nth(1).unwrap_or("-");
                                    format!("{status} {}", header(head, "link").unwrap_or_default())
                                })
                                .collect();
                            format!("{} {}", hints.join(" "), answer.status())
                        }
                        Err(nothing) => nothing.told().to_owned(),
                    }
                },
            ),
            ours(
                "but not to a client of HTTP/1.0",
                "0 200",
                |running: &Running| {
                    let back = Backend::answering(
                        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                    );
                    running.route("/hints", &back.url());
                    match running.ask("GET /hints HTTP/1.0\r\nHost: h\r\n\r\n") {
                        Ok(answer) => format!("{} {}", answer.interim.len(), answer.status()),
                        Err(nothing) => nothing.told().to_owned(),
                    }
                },
            ),
            same(
                "trailers are dropped",
                "200 ok, nothing behind it",
                |running: &Running| {
                    let back = Backend::answering(
                        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\n\r\n",
                    );
                    running.route("/trailers", &back.url());
                    let mut client = running.connect();
                    client.send("GET /trailers HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
                    let head = client.head().unwrap_or_default();
                    let rest = client.rest().0;
                    let status = head.split(' ').nth(1).unwrap_or("-");
                    let behind = if rest.contains("X-Sum") || rest.contains("Cookie") {
                        "something"
                    } else {
                        "nothing"
                    };
                    format!(
                        "{status} {}, {behind} behind it",
                        rest.lines().nth(1).unwrap_or_default()
                    )
                },
            ),
        ],
    );
    check(
        &Start::with(&["--allowed-trailers", "X-Sum,Content-Length"]),
        &[ours(
            "but those that are wished, which never frame or route",
            "x-sum",
            |running: &Running| {
                let back = Backend::answering(
                    "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\nContent-Length: 3\r\n\r\n",
                );
                running.route("/trailers", &back.url());
                let mut client = running.connect();
                client.send("GET /trailers HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
                let _ = client.head();
                let rest = client.rest().0.to_lowercase();
                let names: Vec<_> = ["x-sum", "x-other", "content-length"]
                    .into_iter()
                    .filter(|name| rest.contains(name))
                    .collect();
                names.join(" ")
            },
        )],
    );
}
