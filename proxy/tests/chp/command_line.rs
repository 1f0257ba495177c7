//! The command line: what is taken, what ends at once, with which status and which words.

use std::fs::File;
use std::process::Stdio;

use crate::harness::{Fact, Ports, Program, check_on, eventually, filled, ours, plain, same};

/// Every option of the peer.
const OPTIONS: [&str; 49] = [
    "--version",
    "--ip",
    "--port",
    "--socket",
    "--ssl-key",
    "--ssl-cert",
    "--ssl-ca",
    "--ssl-request-cert",
    "--ssl-reject-unauthorized",
    "--ssl-protocol",
    "--ssl-ciphers",
    "--ssl-allow-rc4",
    "--ssl-dhparam",
    "--api-ip",
    "--api-port",
    "--api-socket",
    "--api-ssl-key",
    "--api-ssl-cert",
    "--api-ssl-ca",
    "--api-ssl-request-cert",
    "--api-ssl-reject-unauthorized",
    "--client-ssl-key",
    "--client-ssl-cert",
    "--client-ssl-ca",
    "--client-ssl-request-cert",
    "--client-ssl-reject-unauthorized",
    "--default-target",
    "--error-target",
    "--error-path",
    "--redirect-port",
    "--redirect-to",
    "--pid-file",
    "--no-x-forward",
    "--no-prepend-path",
    "--no-include-prefix",
    "--auto-rewrite",
    "--change-origin",
    "--protocol-rewrite",
    "--custom-header",
    "--insecure",
    "--host-routing",
    "--metrics-ip",
    "--metrics-port",
    "--metrics-socket",
    "--log-level",
    "--timeout",
    "--proxy-timeout",
    "--storage-backend",
    "--keep-alive-timeout",
];

/// What only ours takes.
const MORE: [&str; 13] = [
    "--allowed-trailers",
    "--trusted-proxies",
    "--proxy-protocol",
    "--allowed-origins",
    "--max-connections-per-address",
    "--max-connections-per-route",
    "--activity-ignore-control-frames",
    "--activity-count-output",
    "--workers",
    "--head-timeout",
    "--stall-timeout",
    "--lenient-targets",
    "--state-dir",
];

/// Runs a program that should end by itself: its status, and what it said on both outputs.
fn ended(program: Program, args: &[&str]) -> (String, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let ports = Ports::free();
    let (out, err) = (dir.path().join("out"), dir.path().join("err"));
    let mut child = program
        .command()
        .current_dir(dir.path())
        .env("CONFIGPROXY_AUTH_TOKEN", "x")
        .args(args.iter().map(|arg| filled(arg, dir.path(), ports)))
        .stdout(Stdio::from(File::create(&out).unwrap()))
        .stderr(Stdio::from(File::create(&err).unwrap()))
        .spawn()
        .unwrap();
    let status = eventually("it ends", || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        _ => Err("it goes on".to_owned()),
    });
    let _ = child.kill();
    let _ = child.wait();
    let status = match status {
        Ok(status) => status
            .code()
            .map_or("a signal".to_owned(), |code| code.to_string()),
        Err(goes_on) => goes_on,
    };
    let said = |file| plain(&std::fs::read_to_string(file).unwrap());
    (status, said(&out), said(&err))
}

/// Status and everything it said, in one line.
fn end_of(args: &'static [&'static str]) -> impl Fn(&Program) -> String + Sync {
    move |program| {
        let (status, out, err) = ended(*program, args);
        format!("{status}: {}", (out + &err).replace('\n', " "))
    }
}

#[test]
fn help_and_version() {
    check_on(
        |program| program,
        &[
            same("the version is all that is said", "0 1 *.*.* ", |program| {
                let (status, out, err) = ended(*program, &["--version"]);
                format!("{status} {} {out} {err}", out.lines().count()).replace('\n', "")
            }),
            same("-V is the version", "0: *.*.* ", end_of(&["-V"])),
            same("help is not an error", "0: *sage: *", end_of(&["--help"])),
            same("-h is help", "0: *sage: *", end_of(&["-h"])),
            same("help names every option", "0 []", |program| {
                let (status, out, _) = ended(*program, &["--help"]);
                let missing: Vec<_> = OPTIONS
                    .iter()
                    .filter(|option| !out.contains(*option))
                    .collect();
                format!("{status} {missing:?}")
            }),
            ours("help names our options too", "0 []", |program| {
                let (status, out, _) = ended(*program, &["--help"]);
                let missing: Vec<_> = MORE
                    .iter()
                    .filter(|option| !out.contains(*option))
                    .collect();
                format!("{status} {missing:?}")
            }),
        ],
    );
}

#[test]
fn what_is_wrong_ends_with_status_1_and_says_why() {
    check_on(
        |program| program,
        &[
            same("unknown option", "1: error: *'--foo'*", end_of(&["--foo"])),
            same(
                "unknown short option",
                "1: error: *'-p'*",
                end_of(&["-p", "8"]),
            ),
            same(
                "a word too many",
                "1: error: *extra*",
                end_of(&["extra", "--port", "{public}"]),
            ),
            same(
                "a value is missing",
                "1: error: *--port*",
                end_of(&["--port"]),
            ),
            same(
                "a switch takes no value",
                "1: error: *--no-x-forward*",
                end_of(&["--no-x-forward=1", "--port", "{public}"]),
            ),
            same(
                "socket and address",
                "1: error: *--socket*cannot be used with*--ip*",
                end_of(&["--socket", "{dir}/s", "--ip", "127.0.0.1"]),
            ),
            same(
                "socket and port",
                "1: error: *--socket*cannot be used with*--port*",
                end_of(&["--socket", "{dir}/s", "--port", "{public}"]),
            ),
            same(
                "error target and error path",
                "1: *Cannot specify both error-target and error-path. Pick one.*",
                end_of(&[
                    "--error-target",
                    "http://127.0.0.1:1",
                    "--error-path",
                    "/tmp",
                ]),
            ),
            same(
                "redirect without TLS",
                "1: *HTTPS redirection specified but certificates not provided*",
                end_of(&["--redirect-port", "{redirect}", "--port", "{public}"]),
            ),
            same(
                "custom header without a colon",
                "1: *A colon was expected in custom header: nocolon*",
                end_of(&["--custom-header", "nocolon"]),
            ),
            same(
                "custom header without a name",
                "1: *A colon was expected in custom header: :value*",
                end_of(&["--custom-header", ":value"]),
            ),
            same(
                "a key that is not there",
                "1: */nonexistent*",
                end_of(&[
                    "--ssl-key",
                    "/nonexistent",
                    "--ssl-cert",
                    "/nonexistent",
                    "--port",
                    "{public}",
                ]),
            ),
            same(
                "a certificate that is none",
                "1: *",
                end_of(&[
                    "--ssl-key",
                    "/dev/null",
                    "--ssl-cert",
                    "/dev/null",
                    "--port",
                    "{public}",
                ]),
            ),
            same(
                "a storage backend that is not there",
                "1: *nonsense*",
                end_of(&["--storage-backend", "nonsense", "--port", "{public}"]),
            ),
            same(
                "a pid file that cannot be written",
                "1: */nonexistent/pid*",
                end_of(&[
                    "--pid-file",
                    "/nonexistent/pid",
                    "--ip",
                    "127.0.0.1",
                    "--port",
                    "{public}",
                ]),
            ),
        ],
    );
}

#[test]
fn what_is_wrong_only_for_ours() {
    // The peer takes any value, and finds out later, or never.
    let refused = |name: &str, args: &'static [&'static str], words: &str| -> Fact<Program> {
        ours(name, &format!("1: *{words}*"), end_of(args))
    };
    check_on(
        |program| program,
        &[
            refused("a port that is no number", &["--port", "abc"], "abc"),
            refused(
                "a default target that is no URL",
                &["--port", "{public}", "--default-target", "nourl"],
                "nourl",
            ),
            refused(
                "a default target of another scheme",
                &["--port", "{public}", "--default-target", "ftp://h"],
                "ftp://h",
            ),
            refused(
                "a level that is none",
                &["--port", "{public}", "--log-level", "loud"],
                "loud",
            ),
            refused(
                "a key without a certificate",
                &["--port", "{public}", "--ssl-key", "/dev/null"],
                "--ssl-cert",
            ),
            refused(
                "an error target that is no URL",
                &["--port", "{public}", "--error-target", "nourl"],
                "nourl",
            ),
            refused(
                "a network that is none",
                &["--port", "{public}", "--trusted-proxies", "10.0.0.0/99"],
                "10.0.0.0/99",
            ),
            refused(
                "a time without sense",
                &["--port", "{public}", "--head-timeout", "soon"],
                "soon",
            ),
            refused(
                "a custom header that would be two lines",
                &["--port", "{public}", "--custom-header", "A: b\r\nC: d"],
                "A",
            ),
        ],
    );
}
