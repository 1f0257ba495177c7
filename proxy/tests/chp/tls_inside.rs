//! TLS on the inside: the API with certificates both ways, servers behind https.

use std::process::{Child, Command, Stdio};

use crate::harness::{Certificates, Told, check_on, differs, eventually, free_ports, same};
use crate::tls::Stage;

#[test]
fn the_api() {
    const API: [&str; 8] = [
        "--api-ssl-key",
        "{made}/server.key",
        "--api-ssl-cert",
        "{made}/server.crt",
        "--api-ssl-ca",
        "{made}/bundle.crt",
        "--api-ssl-request-cert",
        "--api-ssl-reject-unauthorized",
    ];
    check_on(
        Stage::set(&API),
        &[
            same(
                "with a certificate and the token",
                "{} 200",
                |stage: &Stage| stage.api(&["--cert", "client.crt", "--key", "client.key"]),
            ),
            same(
                "of the second authority of the file too",
                "{} 200",
                |stage: &Stage| stage.api(&["--cert", "other.crt", "--key", "other.key"]),
            ),
            same("without a certificate", "refused", |stage: &Stage| {
                stage.api(&[])
            }),
            same("with a stranger's", "refused", |stage: &Stage| {
                stage.api(&["--cert", "stranger.crt", "--key", "stranger.key"])
            }),
            same("a certificate is no token", "403", |stage: &Stage| {
                let url = format!("https://127.0.0.1:{}/api/routes", stage.proxy.ports.api);
                stage.curl(&url, &["--cert", "client.crt", "--key", "client.key"])
            }),
            same("without TLS", "refused", |stage: &Stage| {
                match stage
                    .proxy
                    .api_call("GET", "/api/routes", "")
                    .status()
                    .as_str()
                {
                    "400" | "closed" => "refused".to_owned(),
                    other => other.to_owned(),
                }
            }),
            same("browsers go without", "200", |stage: &Stage| {
                stage.proxy.get("/_chp_healthz").status()
            }),
        ],
    );
}

/// A server that speaks TLS, and says the word `s_server`.
struct Secure {
    child: Child,
    url: String,
}

impl Secure {
    fn start(made: &Certificates, name: &str, more: &[&str]) -> Self {
        let port = free_ports(1);
        let child = Command::new("openssl")
            .args([
                "s_server",
                "-quiet",
                "-www",
                "-accept",
                &format!("127.0.0.1:{port}"),
            ])
            .args([
                "-cert",
                &format!("{name}.crt"),
                "-key",
                &format!("{name}.key"),
            ])
            .args(more)
            .current_dir(made.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let _ = eventually("the server listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())
        });
        Secure {
            child,
            url: format!("https://127.0.0.1:{port}"),
        }
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is answered by a server with this certificate, to a client that names the server.
fn behind(stage: &Stage, name: &str, more: &[&str]) -> String {
    behind_for(stage, "127.0.0.1", name, more)
}

fn behind_for(stage: &Stage, host: &str, name: &str, more: &[&str]) -> String {
    let server = Secure::start(&stage.made, name, more);
    stage.proxy.route("/", &server.url);
    let answer = stage.proxy.get_with("/x", &format!("Host: {host}\r\n"));
    match answer.body() {
        body if body.contains("s_server") => format!("{} by it", answer.status()),
        _ => answer.status(),
    }
}

#[test]
fn servers() {
    check_on(
        Stage::set(&[]),
        &[same(
            "a server that nobody vouches for is not asked",
            "503",
            |stage: &Stage| behind(stage, "server", &[]),
        )],
    );
    check_on(
        Stage::set(&["--client-ssl-ca", "{made}/bundle.crt"]),
        &[
            same(
                "a server that the authority vouches for",
                "200 by it",
                |stage: &Stage| behind(stage, "server", &[]),
            ),
            same(
                "the second of the file too",
                "200 by it",
                |stage: &Stage| behind(stage, "other", &[]),
            ),
            // Whoever is fit to sign is not fit to serve, unless it is trusted itself.
            differs(
                "a server with a certificate for signing",
                "503",
                "200 by it",
                |stage: &Stage| behind(stage, "careless", &[]),
            ),
            // The peer compares the certificate with what the client calls the host.
            differs(
                "what the client calls the host does not matter",
                "200 by it",
                "503",
                |stage: &Stage| behind_for(stage, "hub.example", "server", &[]),
            ),
            differs(
                "nor can it choose a name that fits",
                "503",
                "200 by it",
                |stage: &Stage| behind_for(stage, "named", "named", &[]),
            ),
            same("a stranger", "503", |stage: &Stage| {
                behind(stage, "stranger", &[])
            }),
            same("a certificate for another name", "503", |stage: &Stage| {
                behind(stage, "client", &[])
            }),
            same(
                "a server that wants a certificate",
                "503",
                |stage: &Stage| {
                    behind(
                        stage,
                        "server",
                        &["-CAfile", "ca.crt", "-Verify", "1", "-verify_return_error"],
                    )
                },
            ),
        ],
    );
    check_on(
        Stage::set(&[
            "--client-ssl-key",
            "{made}/client.key",
            "--client-ssl-cert",
            "{made}/client.crt",
            "--client-ssl-ca",
            "{made}/ca.crt",
            "--client-ssl-request-cert",
            "--client-ssl-reject-unauthorized",
        ]),
        &[same(
            "a server that wants a certificate gets ours",
            "200 by it",
            |stage: &Stage| {
                behind(
                    stage,
                    "server",
                    &["-CAfile", "ca.crt", "-Verify", "1", "-verify_return_error"],
                )
            },
        )],
    );
    check_on(
        Stage::set(&["--insecure"]),
        &[
            differs(
                "with --insecure anybody is asked",
                "200 by it",
                "503",
                |stage: &Stage| behind(stage, "server", &[]),
            ),
            differs("whatever its name", "200 by it", "503", |stage: &Stage| {
                behind(stage, "stranger", &[])
            }),
        ],
    );
}
