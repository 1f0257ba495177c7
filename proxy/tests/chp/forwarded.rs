//! What a server is told of who asks, and whom it is told by.

use crate::harness::{Fact, Stage, Start, check_on, ours};
use crate::headers::reaches;

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
            ours("nor do other claims", "- - -", |stage: &Stage| {
                let claims = "Host: h\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nX-Scheme: https\r\n";
                ["forwarded", "x-real-ip", "x-scheme"]
                    .map(|name| stage.reached(claims, name))
                    .join(" ")
            }),
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
