//! The bundle that binds a launch to a user: what a container is given after it was created.
//!
//! On the container's standard input: the four bytes [`MAGIC`], the length of the JSON text as four bytes, big-endian, then the
//! text, a [`Bundle`].
//! The starter in the image answers with one line on its standard output, [`ack_line`], and then becomes the single-user server.
//! An incomplete bundle is discarded and the starter exits with [`EXIT_INCOMPLETE`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The first four bytes.
pub const MAGIC: [u8; 4] = *b"HLT1";
/// The largest text, in bytes. The starter refuses more.
pub const MAX_BYTES: usize = 4 << 20;
/// Exit code of a starter that was given no whole bundle.
pub const EXIT_INCOMPLETE: i64 = 97;
/// The image label that says a starter is there. Its value is the version of this format, `1`.
pub const IMAGE_LABEL: &str = "holt.bind";

/// The file that tells database clients how to reach the replica gateway.
pub const REPLICA_FILE: &str = "/run/holt/replica.my.cnf";
/// Names in the home that the starter leads to [`REPLICA_FILE`] when a bundle has it. What a person has under such a name stays.
pub const REPLICA_LINKS: [&str; 2] = [".my.cnf", "replica.my.cnf"];

/// The file with the token that the broker knows a launch by.
pub const BROKER_TOKEN_FILE: &str = "/run/holt/broker/token";
/// The file that names the account and the wikis that the broker sends requests to: `{"user": ..., "sites": [{"origin", "api", "rest"}]}`.
pub const BROKER_SITES_FILE: &str = "/run/holt/broker/sites.json";

/// The header in which the hub tells a notebook what became of a request to a wiki: [`OUTCOMES`].
pub const OUTCOME_HEADER: &str = "holt-outcome";
/// The wiki answered; it certainly heard nothing; it may have carried it out.
pub const OUTCOMES: [&str; 3] = ["answered", "not-sent", "unknown"];

/// What a launch is given. `Debug` does not show it: all of it may be secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The launch it is meant for.
    pub launch: String,
    /// Environment of the server, added to the image's.
    pub env: BTreeMap<String, String>,
    /// Files to write, below `/run/holt` (a tmpfs) only.
    pub files: Vec<File>,
    /// What to become; empty: `jupyterhub-singleuser`.
    pub command: Vec<String>,
}

/// A file of a bundle.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Absolute path below `/run/holt`.
    pub path: String,
    /// Permission bits, for example `0o400`.
    pub mode: u32,
    /// The text.
    pub content: String,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Bundle({}, {} variables, {} files)",
            self.launch,
            self.env.len(),
            self.files.len()
        )
    }
}

impl Bundle {
    /// The bytes for standard input.
    ///
    /// # Panics
    /// Never: strings and numbers always have a JSON form.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let text = serde_json::to_vec(self).expect("strings and numbers have a JSON form");
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let mut frame = Vec::with_capacity(8 + text.len());
        frame.extend_from_slice(&MAGIC);
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&text);
        frame
    }
}

/// The starter's answer, without the line's end.
#[must_use]
pub fn ack_line(launch: &str) -> String {
    format!("holt.bind: bound {launch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_magic_length_text() {
        let bundle = Bundle {
            launch: "l1".into(),
            env: BTreeMap::from([("A".into(), "secret".into())]),
            files: vec![],
            command: vec![],
        };
        let frame = bundle.frame();
        assert_eq!(&frame[..4], b"HLT1");
        let length = u32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]) as usize;
        assert_eq!(length, frame.len() - 8);
        assert_eq!(
            serde_json::from_slice::<Bundle>(&frame[8..]).ok(),
            Some(bundle.clone())
        );
        assert!(!format!("{bundle:?}").contains("secret"));
    }
}
