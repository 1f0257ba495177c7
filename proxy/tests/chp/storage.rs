//! Routes that outlive their proxy.

use crate::activity::last;
use crate::harness::{Backend, Program, Start, Told, check_on, ours};

#[test]
fn routes_survive_a_restart_when_they_are_kept_in_a_file() {
    check_on(
        |program| program,
        &[ours(
            "a killed proxy is back with its routes and what was posted with them",
            "200 true u",
            |program: &Program| {
                let dir = tempfile::tempdir().unwrap();
                let file = format!("file:{}/routes.json", dir.path().display());
                let start = Start::with(&["--storage-backend", &file]);
                let back = Backend::named("back");
                let mut first = start.run(*program);
                let body = format!(r#"{{"target":"{}","user":"u"}}"#, back.url());
                let _ = first.api_call("POST", "/api/routes/user/u", &body);
                let before = last(&first, "/user/u");
                let _ = first.child.kill();
                let _ = first.child.wait();
                let second = start.run(*program);
                let kept = second.routed("/user/u");
                format!(
                    "{} {} {}",
                    second.get("/user/u/x").status(),
                    last(&second, "/user/u") >= before,
                    kept["user"].as_str().unwrap_or_default()
                )
            },
        )],
    );
}
