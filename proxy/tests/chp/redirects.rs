//! Redirects of a server, and what becomes of the place they lead to.

use crate::harness::{Backend, Stage, Start, Told, check_on, header, same};

const REDIRECT: &str = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ";

#[test]
fn redirects() {
    // The target's own address is written TARGET in these answers.
    let location = |name: &str, status: &'static str, given: &'static str, expected: &str| {
        same(name, expected, move |stage: &Stage| {
            let back = Backend::doing(move |mut client, _| {
                while let Ok(head) = client.head() {
                    let target = header(&head, "x-target").unwrap_or_default();
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
                let location = stage
                    .answered(&format!("{REDIRECT}http://other/p\r\n\r\n"))
                    .header("location");
                (location == "http://other/p").to_string()
            },
        )],
    );
}
