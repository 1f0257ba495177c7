//! `/user/a` is not `/user/b`, however it is written.
//!
//! The oracle: the route that is chosen is the one that a standard server would choose for the bytes that it is sent;
//! and these are the bytes that came, or there is a 400.

use crate::harness::{Backend, Fact, Program, Running, Start, Told, check_on, differs, same};

/// Two users, and the hub.
struct Stage {
    proxy: Running,
    hub: Backend,
    a: Backend,
    b: Backend,
}

impl Stage {
    fn set(program: Program) -> Self {
        let proxy = Start::default().run(program);
        let (hub, a, b) = (
            Backend::named("hub"),
            Backend::named("a"),
            Backend::named("b"),
        );
        proxy.route("/", &hub.url());
        proxy.route("/user/a", &a.url());
        proxy.route("/user/b", &b.url());
        Stage { proxy, hub, a, b }
    }

    /// Status, who was asked, and for what.
    fn goes(&self, target: &[u8]) -> String {
        let mut client = self.proxy.connect();
        client.send([b"GET ", target, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat());
        let status = client.answer().status();
        let mut told = status.clone();
        if status == "400" {
            told += if client.state() == "closed" {
                " closed"
            } else {
                " open"
            };
        }
        for (name, backend) in [("hub", &self.hub), ("a", &self.a), ("b", &self.b)] {
            for seen in backend.take() {
                let same = seen.head.as_bytes()[4..].starts_with(target);
                let target = if same {
                    "as it came".to_owned()
                } else {
                    seen.target()
                };
                told += &format!(" {name} {target}");
            }
        }
        told
    }
}

/// Refused by ours.
fn refused(target: &'static [u8], peer: &str) -> Fact<Stage> {
    differs(
        &target.escape_ascii().to_string(),
        "400 closed",
        peer,
        move |stage: &Stage| stage.goes(target),
    )
}

/// Passed on untouched.
fn passed(target: &'static [u8], to: &str) -> Fact<Stage> {
    let expected = format!("200 {to} as it came");
    same(
        &target.escape_ascii().to_string(),
        &expected,
        move |stage: &Stage| stage.goes(target),
    )
}

/// Passed on untouched by ours; the peer does something else.
fn passed_only_by_ours(target: &'static [u8], to: &str, peer: &str) -> Fact<Stage> {
    differs(
        &target.escape_ascii().to_string(),
        &format!("200 {to} as it came"),
        peer,
        move |stage: &Stage| stage.goes(target),
    )
}

#[test]
fn a_path_has_one_meaning_or_is_refused() {
    check_on(
        Stage::set,
        &[
            refused(b"/user/a/../b/x", "200 b /user/b/x"),
            refused(b"/user/a/..", "200 hub /user/"),
            refused(b"/..", "200 hub /"),
            refused(b"/user/a/./x", "200 a /user/a/x"),
            refused(b"/user/a/.", "200 a /user/a/"),
            refused(b"/user/a/%2e%2e/b/x", "200 b /user/b/x"),
            refused(b"/user/a/%2E%2E/b/x", "200 b /user/b/x"),
            refused(b"/user/a/.%2e/b/x", "200 b /user/b/x"),
            refused(b"/user/a/%2e./b/x", "200 b /user/b/x"),
            refused(b"/user/a/%2e/x", "200 a /user/a/x"),
            refused(b"/user/a/..%2fb/x", "200 a as it came"),
            refused(b"/user/a/..%2Fb/x", "200 a as it came"),
            refused(b"/user/a%2f..%2fb/x", "200 a as it came"),
            refused(b"/user/a%2f%2e%2e%2fb/x", "200 a as it came"),
            refused(b"/user/a/x%2f..", "200 a as it came"),
            refused(b"/user/a/..%5cb/x", "200 a as it came"),
            refused(b"/user/a%5c..%5cb/x", "200 hub as it came"),
            refused(b"/user/a\\..\\b/x", "200 b /user/b/x"),
            refused(b"/user/a\\x", "200 a /user/a/x"),
            refused(b"//x/user/a/", "200 a as it came"),
            refused(b"//user/a/", "200 hub as it came"),
            refused(b"///user/a/", "200 hub as it came"),
            // An escaped slash may be in a file's name, but not in what chooses the server.
            refused(b"/user%2fa/x", "200 a as it came"),
            refused(b"/%2fuser/a/", "200 a as it came"),
            refused(b"/user/a/%00", "200 a as it came"),
            refused(b"/user/a%00/x", "200 hub as it came"),
            refused(b"/user/%c0%ae%c0%ae/b", "500"),
            refused(b"/user/a/%ff", "500"),
            refused(b"/user/a/%c3", "500"),
            refused(b"/user/a/%ed%a0%80", "500"),
            refused(b"/user/a/%zz", "500"),
            refused(b"/user/a/%", "500"),
            refused(b"/user/a/%4", "500"),
            refused(b"/user/a/%u0041", "500"),
            refused(b"/user/\xc3\xa9/x", "400 closed"),
            refused(b"/user/a/\x01", "400 closed"),
            refused(b"/user/a/\x7f", "400 closed"),
            refused(b"/user/a/ x", "400 closed"),
            refused(b"/user/a/\tx", "400 closed"),
        ],
    );
}

#[test]
fn what_a_server_may_see_is_not_touched() {
    check_on(
        Stage::set,
        &[
            passed(b"/user/a/x%2Fy", "a"),
            passed(b"/user/a/x%5Cy", "a"),
            passed(b"/user/a/x;y=1", "a"),
            passed(b"/user/a/..;/b", "a"),
            passed(b"/user/a/%25", "a"),
            passed(b"/user/a/%252e%252e/b", "a"),
            passed(b"/user/a/%252e%252e%252fb", "a"),
            passed(b"/user/a/...", "a"),
            passed(b"/user/a/.hidden", "a"),
            passed(b"/user/a/x..y", "a"),
            passed(b"/user/a/%EF%BC%8E%EF%BC%8E%EF%BC%8Fb", "a"),
            passed(b"/user/a/%F0%9F%98%80", "a"),
            passed(b"/user/a/?/../b", "a"),
            passed(b"/user/a?/../../b", "a"),
            passed(b"/user/a/?q=%zz", "a"),
            passed(b"/user/a/?q=%00", "a"),
            passed(b"/user/a/?q=//x", "a"),
            passed(b"/user/a/%3F..%23", "a"),
            passed(b"/user/a//", "a"),
            passed(b"/user/a/x//y", "a"),
            passed(b"/user/ab", "hub"),
            passed(b"/user/A/x", "hub"),
            passed(b"/user/a%20/x", "hub"),
            passed(b"/user/a./x", "hub"),
            passed(b"/user/a;/x", "hub"),
            passed(b"/user//a/x", "hub"),
            passed(b"/user/%E1%BA%9A/x", "hub"),
            passed(b"/%75ser/%61/x", "a"),
            passed(b"/%2fx/user/a/", "hub"),
            passed_only_by_ours(b"/constructor", "hub", "*"),
            passed_only_by_ours(b"/user/__proto__/x", "hub", "*"),
            passed_only_by_ours(b"/user/toString", "hub", "*"),
        ],
    );
}

#[test]
fn very_long_and_very_deep_paths() {
    check_on(
        Stage::set,
        &[
            same("many segments", "200 a as it came", |stage: &Stage| {
                stage.goes(format!("/user/a{}", "/x".repeat(3_000)).as_bytes())
            }),
            same(
                "many empty segments",
                "200 a as it came",
                |stage: &Stage| stage.goes(format!("/user/a/{}", "/".repeat(6_000)).as_bytes()),
            ),
            same("many escapes", "200 a as it came", |stage: &Stage| {
                stage.goes(format!("/user/a/{}", "%61".repeat(2_000)).as_bytes())
            }),
        ],
    );
}
