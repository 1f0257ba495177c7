//! TLS on each side: browsers, the API with certificates both ways, servers behind https.

use std::process::{Command, Stdio};

use crate::harness::{
    Backend, Certificates, Fact, PASSPHRASE, PATIENCE, Program, Running, Start, Told, check_on,
    differs, free_ports, ours, same,
};

/// A program with certificates at hand, and a server.
pub(crate) struct Stage {
    pub(crate) proxy: Running,
    pub(crate) back: Backend,
    pub(crate) made: Certificates,
}

impl Stage {
    /// `{made}` in arguments is the directory of certificates.
    pub(crate) fn set(args: &[&str]) -> impl Fn(Program) -> Stage + Sync {
        Self::set_with(args, None)
    }

    pub(crate) fn set_with(
        args: &[&str],
        passphrase: Option<(&'static str, &'static str)>,
    ) -> impl Fn(Program) -> Stage + Sync {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        move |program| {
            let mut made = Certificates::made();
            if passphrase.is_some() {
                made = made.with_locked_keys();
            }
            let dir = made.path().display().to_string();
            let args: Vec<String> = args.iter().map(|arg| arg.replace("{made}", &dir)).collect();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut start = Start::with(&args);
            if let Some((name, value)) = passphrase {
                start = start.env(name, value);
            }
            let proxy = start.run(program);
            Stage {
                proxy,
                back: Backend::named("ok"),
                made,
            }
        }
    }

    /// What `curl` gets: the body and the status, or `refused`.
    pub(crate) fn curl(&self, url: &str, args: &[&str]) -> String {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "10", "--noproxy", "*"])
            .args(["--cacert", "ca.crt", "--write-out", " %{http_code}"])
            .args(args)
            .arg(url)
            .current_dir(self.made.path())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("curl cannot be run ({error}). Install it (Debian: curl), or run tests/run, which does"));
        if output.status.success() {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        } else {
            "refused".to_owned()
        }
    }

    pub(crate) fn health(&self, args: &[&str]) -> String {
        self.curl(
            &format!("https://127.0.0.1:{}/_chp_healthz", self.proxy.ports.public),
            args,
        )
    }

    /// A call of the API over TLS.
    pub(crate) fn api(&self, args: &[&str]) -> String {
        let token = format!("Authorization: token {}", self.proxy.token);
        let url = format!("https://127.0.0.1:{}/api/routes", self.proxy.ports.api);
        self.curl(&url, &[&["--header", &token], args].concat())
    }
}

const OK: &str = "{\"status\":\"OK\"} 200";

pub(crate) const PUBLIC: [&str; 4] = [
    "--ssl-key",
    "{made}/server.key",
    "--ssl-cert",
    "{made}/server.crt",
];

fn health(name: &str, args: &'static [&'static str], expected: &str) -> Fact<Stage> {
    same(name, expected, move |stage: &Stage| stage.health(args))
}

#[test]
fn browsers() {
    check_on(
        Stage::set(&PUBLIC),
        &[
            health("it is served", &[], OK),
            health("with TLS 1.2", &["--tls-max", "1.2"], OK),
            health("with TLS 1.3", &["--tlsv1.3"], OK),
            health(
                "not with TLS 1.1",
                &["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"],
                "refused",
            ),
            health(
                "not without forward secrecy",
                &["--tls-max", "1.2", "--ciphers", "AES128-SHA"],
                "refused",
            ),
            health("with HTTP/1.1", &["--http1.1"], OK),
            same(
                "HTTP without TLS is not served",
                "refused",
                |stage: &Stage| {
                    let url = format!("http://127.0.0.1:{}/_chp_healthz", stage.proxy.ports.public);
                    match stage.curl(&url, &[]).as_str() {
                        text if text.ends_with("400") => "refused".to_owned(),
                        text => text.to_owned(),
                    }
                },
            ),
            same("servers are told", "https 443", |stage: &Stage| {
                stage.proxy.route("/", &stage.back.url());
                stage.back.take();
                let url = format!("https://127.0.0.1:{}/x", stage.proxy.ports.public);
                stage.curl(&url, &["--http1.1", "--header", "Host: h"]);
                let seen = stage.back.last();
                format!(
                    "{} {}",
                    seen.header("x-forwarded-proto"),
                    seen.header("x-forwarded-port")
                )
            }),
            same("for websockets too", "wss 443", |stage: &Stage| {
                stage.proxy.route("/", &stage.back.url());
                stage.back.take();
                let url = format!("https://127.0.0.1:{}/x", stage.proxy.ports.public);
                stage.curl(
                    &url,
                    &[
                        "--http1.1",
                        "--header",
                        "Host: h",
                        "--header",
                        "Connection: Upgrade",
                        "--header",
                        "Upgrade: websocket",
                        "--header",
                        "Sec-WebSocket-Version: 13",
                        "--header",
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                    ],
                );
                let seen = stage.back.last();
                format!(
                    "{} {}",
                    seen.header("x-forwarded-proto"),
                    seen.header("x-forwarded-port")
                )
            }),
            health(
                "HTTP/2 is not offered",
                &["--http2", "--write-out", " %{http_code} %{http_version}"],
                "{\"status\":\"OK\"} 200 1.1",
            ),
            same("the API goes without", "200 {*", |stage: &Stage| {
                stage.proxy.api_call("GET", "/api/routes", "").told()
            }),
            ours(
                "a client that says nothing does not hold others up",
                OK,
                |stage: &Stage| {
                    let _silent: Vec<_> = (0..20).map(|_| stage.proxy.connect()).collect();
                    stage.health(&[])
                },
            ),
        ],
    );
}

#[test]
fn who_begins_no_handshake_is_let_go() {
    check_on(
        Stage::set(&PUBLIC),
        &[ours(
            "whether nothing is said or half a word",
            "closed closed",
            |stage: &Stage| {
                // Ten seconds are given.
                let clients = ["", "\x16\x03\x01\x02"].map(|half| {
                    let mut client = stage.proxy.connect();
                    client.send(half);
                    client.patient(PATIENCE * 2);
                    client
                });
                clients.map(|mut client| client.rest().1.told()).join(" ")
            },
        )],
    );
}

#[test]
fn what_is_negotiated_can_be_chosen() {
    let with = |more: &[&'static str]| -> Vec<&'static str> { [&PUBLIC[..], more].concat() };
    check_on(
        Stage::set(&with(&["--ssl-protocol", "TLSv1_2"])),
        &[
            health("one protocol", &["--tls-max", "1.2"], OK),
            health("and no other", &["--tlsv1.3"], "refused"),
        ],
    );
    check_on(
        Stage::set(&with(&["--ssl-ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384"])),
        &[
            health(
                "one suite",
                &[
                    "--tls-max",
                    "1.2",
                    "--ciphers",
                    "ECDHE-ECDSA-AES256-GCM-SHA384",
                ],
                OK,
            ),
            // Ours has none among its suites that need be left out, and says that it takes no choice.
            differs("and no other", OK, "refused", |stage: &Stage| {
                stage.health(&[
                    "--tls-max",
                    "1.2",
                    "--ciphers",
                    "ECDHE-ECDSA-AES128-GCM-SHA256",
                ])
            }),
            ours(
                "the choice is not taken in silence",
                "true",
                |stage: &Stage| stage.proxy.says("--ssl-ciphers").to_string(),
            ),
        ],
    );
    check_on(
        Stage::set(&with(&[
            "--ssl-allow-rc4",
            "--ssl-dhparam",
            "{made}/dh.pem",
        ])),
        &[
            health("RC4 may be asked for", &[], OK),
            health(
                "and is not there",
                &["--tls-max", "1.2", "--ciphers", "RC4-SHA:@SECLEVEL=0"],
                "refused",
            ),
        ],
    );
}

#[test]
fn certificates_of_browsers() {
    let with = |more: &[&'static str]| -> Vec<&'static str> { [&PUBLIC[..], more].concat() };
    const CLIENT: &[&str] = &["--cert", "client.crt", "--key", "client.key"];
    const STRANGER: &[&str] = &["--cert", "stranger.crt", "--key", "stranger.key"];
    check_on(
        Stage::set(&with(&[
            "--ssl-ca",
            "{made}/ca.crt",
            "--ssl-request-cert",
            "--ssl-reject-unauthorized",
        ])),
        &[
            health("one that is known", CLIENT, OK),
            health("none", &[], "refused"),
            health("a stranger's", STRANGER, "refused"),
        ],
    );
    check_on(
        Stage::set(&with(&["--ssl-ca", "{made}/ca.crt", "--ssl-request-cert"])),
        &[
            health("asked for is as good as needed", CLIENT, OK),
            health("none", &[], "refused"),
        ],
    );
    check_on(
        Stage::set(&with(&[
            "--ssl-ca",
            "{made}/ca.crt",
            "--ssl-reject-unauthorized",
        ])),
        &[health("not asked for is not needed", &[], OK)],
    );
}

#[test]
fn locked_keys() {
    const PUBLIC_KEY: &str = "CONFIGPROXY_SSL_KEY_PASSPHRASE";
    const API_KEY: &str = "CONFIGPROXY_API_SSL_KEY_PASSPHRASE";
    for (key, certificate) in [("pkcs8.key", "server.crt"), ("pkcs1.key", "rsa.crt")] {
        let (key, certificate) = (format!("{{made}}/{key}"), format!("{{made}}/{certificate}"));
        check_on(
            Stage::set_with(
                &["--ssl-key", &key, "--ssl-cert", &certificate],
                Some((PUBLIC_KEY, PASSPHRASE)),
            ),
            &[health("a key that is locked", &[], OK)],
        );
        check_on(
            Stage::set_with(
                &["--api-ssl-key", &key, "--api-ssl-cert", &certificate],
                Some((API_KEY, PASSPHRASE)),
            ),
            &[same("the API's key", "{} 200", |stage: &Stage| {
                stage.api(&[])
            })],
        );
    }
    check_on(
        |program| program,
        &[same(
            "another passphrase",
            "Some(1)",
            |program: &Program| {
                let made = Certificates::made().with_locked_keys();
                let mut command = program.command();
                let status = command
                    .env(PUBLIC_KEY, "wrong")
                    .args(["--ip=127.0.0.1", "--port", &free_ports(2).to_string()])
                    .args([
                        "--ssl-key",
                        &made.file("pkcs8.key"),
                        "--ssl-cert",
                        &made.file("server.crt"),
                    ])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()
                    .unwrap();
                format!("{:?}", status.code())
            },
        )],
    );
}
