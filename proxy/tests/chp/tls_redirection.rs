//! From HTTP to https.

use crate::harness::{Client, Told, check_on, ours, same};
use crate::tls::{PUBLIC, Stage};

#[test]
fn redirection_to_tls() {
    let ask = |request: &'static str| {
        move |stage: &Stage| {
            let mut client = Client::to(([127, 0, 0, 1], stage.proxy.ports.redirect).into());
            client.send(request);
            let answer = client.answer();
            let port = format!(":{}/", stage.proxy.ports.public);
            format!(
                "{} {}",
                answer.status(),
                answer.header("location").replace(&port, ":PUBLIC/")
            )
        }
    };
    let with = |more: &[&'static str]| -> Vec<&'static str> {
        [&PUBLIC[..], &["--redirect-port", "{redirect}"], more].concat()
    };
    check_on(
        Stage::set(&with(&[])),
        &[
            same("the start says so", "true", |stage: &Stage| {
                let (from, to) = (stage.proxy.ports.redirect, stage.proxy.ports.public);
                stage
                    .proxy
                    .says(&format!(
                        "Added HTTP to HTTPS redirection from {from} to {to}"
                    ))
                    .to_string()
            }),
            same(
                "to the same place",
                "301 https://h:PUBLIC/x?y=%20",
                ask("GET /x?y=%20 HTTP/1.1\r\nHost: h\r\n\r\n"),
            ),
            same(
                "another port is not kept",
                "301 https://h:PUBLIC/",
                ask("GET / HTTP/1.1\r\nHost: h:8080\r\n\r\n"),
            ),
            same(
                "other methods too",
                "301 https://h:PUBLIC/x",
                ask("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
            ),
            same(
                "without a host there is no place to go to",
                "400 -",
                ask("GET / HTTP/1.0\r\n\r\n"),
            ),
            ours(
                "an address in brackets",
                "301 https://[::1]:PUBLIC/",
                ask("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n"),
            ),
            ours(
                "a host that is none",
                "400 -",
                ask("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
            ),
        ],
    );
    check_on(
        Stage::set(&with(&["--redirect-to", "8443"])),
        &[same(
            "to another port",
            "301 https://h:8443/",
            ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        )],
    );
    check_on(
        Stage::set(&with(&["--redirect-to", "443"])),
        &[same(
            "to the usual port",
            "301 https://h:443/ || 301 https://h/",
            ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        )],
    );
}
