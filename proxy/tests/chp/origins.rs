//! Pages that may open websockets.

use crate::harness::{Backend, Stage, Start, Told, check_on, ours, websocket_request};

#[test]
fn origins() {
    let status = |more: &'static str| {
        move |stage: &Stage| {
            let mut client = stage.proxy.connect();
            client.send(websocket_request("/x", more));
            let head = client.head().unwrap_or_default();
            let status = head.split(' ').nth(1).unwrap_or("-").to_owned();
            format!("{status}, {} asked", stage.back.take().len())
        }
    };
    check_on(
        Stage::before(
            Start::with(&[
                "--allowed-origins",
                "https://hub.example,http://other.example:8080",
            ]),
            Backend::websocket,
        ),
        &[
            ours(
                "an origin that is allowed",
                "101, 1 asked",
                status("Origin: https://hub.example\r\n"),
            ),
            ours(
                "in capital letters",
                "101, 1 asked",
                status("Origin: HTTPS://Hub.Example\r\n"),
            ),
            ours(
                "another that is allowed",
                "101, 1 asked",
                status("Origin: http://other.example:8080\r\n"),
            ),
            ours(
                "another port",
                "403, 0 asked",
                status("Origin: http://other.example\r\n"),
            ),
            ours(
                "another scheme",
                "403, 0 asked",
                status("Origin: http://hub.example\r\n"),
            ),
            ours(
                "another name",
                "403, 0 asked",
                status("Origin: https://hub.example.evil\r\n"),
            ),
            ours(
                "a page that says nothing of itself",
                "403, 0 asked",
                status("Origin: null\r\n"),
            ),
            ours(
                "two origins",
                "403, 0 asked || 400, 0 asked",
                status("Origin: https://hub.example\r\nOrigin: https://evil.example\r\n"),
            ),
            ours("a program, which has none", "101, 1 asked", status("")),
            ours(
                "requests that are no websockets are not asked for it",
                "true",
                |stage: &Stage| {
                    let page = Backend::named("page");
                    stage.proxy.route("/page", &page.url());
                    let answer = stage
                        .proxy
                        .get_with("/page", "Host: h\r\nOrigin: https://evil.example\r\n");
                    (answer.told() == "200 page").to_string()
                },
            ),
        ],
    );
}
