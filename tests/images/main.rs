//! The starter of the notebook image, without a container: its own tests, and that it understands what `holt-spec` sends.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use holt_spec::bundle::{
    Bundle, EXIT_INCOMPLETE, File, MAX_BYTES, REPLICA_FILE, REPLICA_LINKS, ack_line,
};

fn image() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../images/singleuser")
}

fn bundle() -> Bundle {
    Bundle {
        launch: "01j8-launch".into(),
        env: BTreeMap::from([("GIVEN".into(), "ü \"quoted\"\n".into())]),
        files: vec![],
        command: vec!["/bin/sh".into(), "-c".into(), "printf %s \"$GIVEN\"".into()],
    }
}

/// Runs the starter with `sent` as its whole standard input.
fn start(sent: &[u8]) -> Output {
    let mut process = Command::new("python3")
        .arg("-ISE")
        .arg(image().join("holt-start"))
        .env_remove("JUPYTERHUB_API_TOKEN")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is there");
    let mut input = process.stdin.take().expect("it is piped");
    // A starter that has refused is gone before it has read all.
    let _ = input.write_all(sent);
    drop(input);
    process.wait_with_output().expect("it ends")
}

#[test]
fn the_starters_own_tests_pass() {
    let done = Command::new("python3")
        .arg("-B")
        .arg(image().join("test_starter.py"))
        .output()
        .expect("python3 is there");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn a_frame_of_ours_is_acknowledged_and_becomes_its_command() {
    let done = start(&bundle().frame());
    let expected = format!("{}\nü \"quoted\"\n", ack_line("01j8-launch"));
    assert_eq!(String::from_utf8_lossy(&done.stdout), expected);
    assert_eq!(done.status.code(), Some(0));
}

#[test]
fn a_cut_frame_of_ours_is_discarded() {
    let frame = bundle().frame();
    for length in [0, 4, 8, frame.len() - 1] {
        let done = start(&frame[..length]);
        assert_eq!(
            done.status.code().map(i64::from),
            Some(EXIT_INCOMPLETE),
            "of {length} bytes"
        );
        assert!(done.stdout.is_empty());
    }
}

#[test]
fn the_largest_text_is_the_same_on_both_sides() {
    let mut large = bundle();
    large.command = vec!["true".into()];
    large.files = vec![File {
        path: "/run/holt/x".into(),
        mode: 0o400,
        content: "x".repeat(MAX_BYTES),
    }];
    let refused = String::from_utf8_lossy(&start(&large.frame()).stderr).into_owned();
    assert!(refused.contains("too large"), "{refused}");
    // Within the bound it is read; what is then missing here is the tmpfs.
    large.files[0].content.truncate(MAX_BYTES - 500);
    let refused = String::from_utf8_lossy(&start(&large.frame()).stderr).into_owned();
    assert!(refused.contains("not a tmpfs"), "{refused}");
}

#[test]
fn the_starter_links_what_the_specification_names() {
    let text = std::fs::read_to_string(image().join("holt-start")).expect("it is there");
    let links = text
        .lines()
        .find(|line| line.starts_with("LINKS = "))
        .expect("it has links");
    let file = REPLICA_FILE.trim_start_matches("/run/holt/");
    for name in REPLICA_LINKS {
        assert!(
            links.contains(&format!("\"{name}\": \"{file}\"")),
            "{links}"
        );
    }
}
