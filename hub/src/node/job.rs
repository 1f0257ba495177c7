//! What the node and its hands say to each other: one line of JSON each way.
//!
//! **Invariant:** a path is a list of bytes here, since names below a source need not be letters of any kind.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::mark::Origin;
use crate::mountinfo::Mounted;

/// A piece of work, and who wants it: when that one has ended, nobody does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Errand {
    /// The node's process.
    pub(super) node: u32,
    pub(super) job: Job,
}

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Job {
    /// Ask the file system how it is and what is in its topmost directory.
    Ask {
        #[serde(with = "whole")]
        place: PathBuf,
    },
    /// The same for what is mounted within a mount of ours.
    AskPart {
        #[serde(with = "whole")]
        place: PathBuf,
    },
    /// Where the source of a bind mount leads, and what is there.
    Find { source: String },
    /// Mount in the staging directory, and ask.
    Make(Make),
    /// Move the mount of this number, which was made, to its place, if that is free.
    Place {
        #[serde(with = "whole")]
        staging: PathBuf,
        #[serde(with = "whole")]
        place: PathBuf,
        id: u32,
    },
    /// Put a copy of one mount of this machine within a mount of ours, if it answers.
    Attach(Part),
    /// Take away whatever is mounted at `place`, at once, whoever uses it.
    Drop {
        #[serde(with = "whole")]
        place: PathBuf,
        reads: Reads,
    },
    /// The same within the mount of ours at `top`.
    DropPart {
        #[serde(with = "whole")]
        top: PathBuf,
        #[serde(with = "whole")]
        place: PathBuf,
    },
    /// Look how large a file with a file system in it is; done when that is as it should be.
    Weigh {
        #[serde(with = "whole")]
        image: PathBuf,
        quota: u64,
    },
    /// Take away the one mount of this number that is seen at `place`, and nothing below it.
    Uncover {
        #[serde(with = "whole")]
        place: PathBuf,
        id: u32,
    },
}

/// A mount below a source, to be copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Where it is mounted on this machine.
    #[serde(with = "whole")]
    pub(super) source: PathBuf,
    /// Where it is made. Nobody else uses it.
    #[serde(with = "whole")]
    pub(super) staging: PathBuf,
    /// The mount of ours that it belongs in.
    #[serde(with = "whole")]
    pub(super) top: PathBuf,
    /// The number of that.
    pub(super) top_id: u32,
    #[serde(with = "whole")]
    pub(super) place: PathBuf,
    pub(super) access: Access,
}

/// What happens to reads that wait in a mount that is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reads {
    /// They end with an error, where the file system can do that.
    End,
    /// They go on waiting: the file system is somebody else's too.
    Wait,
}

/// What may happen to reads that wait in a mount of this kind.
pub(super) fn reads_of(kind: &str) -> Reads {
    match kind {
        "bind" => Reads::Wait,
        _ => Reads::End,
    }
}

/// A mount to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Make {
    pub(super) kind: String,
    pub(super) source: String,
    pub(super) options: Vec<String>,
    pub(super) access: Access,
    /// Whom the topmost directory is given to.
    pub(super) owner: Option<(u32, u32)>,
    /// Size of the file system in a file, in bytes.
    pub(super) quota: Option<u64>,
    /// The file was there before: no empty one is made in its stead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_known: bool,
    #[serde(with = "whole")]
    pub(super) staging: PathBuf,
    #[serde(with = "whole")]
    pub(super) place: PathBuf,
    /// Nothing in these, nor what they are in, may be given away: Holt's own directories.
    pub(super) own: Vec<Own>,
}

/// A directory of Holt's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Own(#[serde(with = "whole")] pub(super) PathBuf);

/// What can be done on a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Access {
    pub(super) write: bool,
    pub(super) exec: bool,
}

impl Access {
    /// As options of `mount -o`.
    pub(super) fn options(self) -> impl Iterator<Item = &'static str> + use<> {
        let write = if self.write { "rw" } else { "ro" };
        let exec = (!self.exec).then_some("noexec");
        [write, "nosuid", "nodev"].into_iter().chain(exec)
    }

    /// Whether the mount has them.
    pub(super) fn is_kept_by(self, mount: &Mounted) -> bool {
        self.options()
            .filter(|option| *option != "rw")
            .all(|option| mount.has(option))
    }
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    /// Done. `origin`: for a bind mount, what its source is.
    Done { origin: Option<Origin> },
    /// Not done; the next try may succeed.
    Failed { reason: String },
    /// Something that is not ours to remove is in the way.
    Refused { reason: String },
}

/// A path as its bytes.
pub(super) mod whole {
    use std::ffi::{OsStr, OsString};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        let path: &OsStr = path.as_os_str();
        path.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        OsString::deserialize(from).map(PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn names_in_letters_of_another_time_come_whole() {
        let place = PathBuf::from(OsStr::from_bytes(b"/m/d\xe4ten/\xff\n\"b\\"));
        let jobs = [
            Job::AskPart {
                place: place.clone(),
            },
            Job::DropPart {
                top: "/m".into(),
                place: place.clone(),
            },
            Job::Attach(Part {
                source: place.clone(),
                staging: "/m/s".into(),
                top: "/m".into(),
                top_id: 7,
                place,
                access: Access {
                    write: false,
                    exec: true,
                },
            }),
        ];
        for job in jobs {
            let text = serde_json::to_vec(&job).unwrap();
            assert_eq!(serde_json::from_slice::<Job>(&text).unwrap(), job);
        }
    }
}
