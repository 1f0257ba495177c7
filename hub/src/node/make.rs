//! Making a mount in the staging directory, in a process of its own: the bodies of a [`Make`].

use std::ffi::OsStr;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{AtFlags, Gid, Uid};

use super::hand::{Trouble, ask, failed, must_be_free, shut, table, take_away};
use super::held::Held;
use super::image;
use super::job::{Job, Make, Own, Reads, reads_of};
use super::mark::Origin;
use super::way::Way;
use crate::config::{holds_the_system, lie_in_each_other};

impl Make {
    /// Leaves it in the staging directory, or nothing.
    pub(super) fn run(&self) -> Result<Option<Origin>, Trouble> {
        take_away(&self.staging, self.reads())?;
        let made = self.stage();
        if made.is_err() {
            // The reason that counts is the first.
            drop(take_away(&self.staging, self.reads()));
        }
        made
    }

    /// What is mounted for this alone may be ended for all; a directory of the machine may not.
    fn reads(&self) -> Reads {
        reads_of(&self.kind)
    }

    fn stage(&self) -> Result<Option<Origin>, Trouble> {
        must_be_free(&self.place)?;
        let origin = match self.kind.as_str() {
            "bind" => Some(self.bind()?),
            "image" => {
                let size = self.quota.unwrap_or_default();
                image::make(Path::new(&self.source), size, self.is_known)?;
                self.mount("ext4", &["loop"])?;
                None
            }
            kind => {
                self.must_be_nobody_elses()?;
                self.mount(kind, &[])?;
                None
            }
        };
        shut(&self.staging, self.access)?;
        if let Some((user, group)) = self.owner.filter(|_| self.access.write) {
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            rustix::fs::chownat(
                rustix::fs::CWD,
                &self.staging,
                Some(user),
                Some(group),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .map_err(|errno| failed("its topmost directory cannot be given to its owner", errno))?;
        }
        ask(&self.staging)?;
        Ok(origin)
    }

    /// Whether mounts below its source are copied. Not below one that notebooks write: they could have as many names as they like in it.
    pub(super) fn is_followed(&self) -> bool {
        self.kind == "bind" && !self.access.write
    }

    /// A directory of this machine, alone: what is mounted below it is copied one by one, so that one that is dead holds nobody else.
    /// It is held from the first look on, so that what was looked at is what is mounted.
    fn bind(&self) -> Result<Origin, Trouble> {
        let (held, others) = Held::follow(Path::new(&self.source))?;
        let origin = held.origin()?;
        let source = &origin.path;
        for Own(own) in &self.own {
            let is_written = self.access.write && source.starts_with(own);
            if is_written || lie_in_each_other(source, own) {
                return Err(Trouble::Refused(format!(
                    "{} and Holt's own directory {} lie in each other; give another source",
                    source.display(),
                    own.display()
                )));
            }
        }
        if let Some(above) = others.filter(|_| self.access.write || self.owner.is_some()) {
            return Err(Trouble::Refused(format!(
                "others than root may change {}, and put another directory where {} is: what notebooks write, or what is given to an owner, needs a way that is root's alone",
                above.display(),
                self.source
            )));
        }
        if self.access.write && holds_the_system(source) {
            return Err(Trouble::Refused(format!(
                "{} is the system's own: give a directory that is for notebooks alone, or set read_only",
                source.display()
            )));
        }
        rustix::mount::mount_bind(held.name(), &self.staging)
            .map_err(|errno| failed(&format!("{} cannot be mounted", source.display()), errno))?;
        Ok(origin)
    }

    /// A file of this machine that others could change, or put another in the place of, is no disk that root mounts. Whatever else a source
    /// is, such as a server, is for the program to find.
    fn must_be_nobody_elses(&self) -> Result<(), Trouble> {
        let path = Path::new(&self.source);
        if !path.is_absolute() || self.source.starts_with("//") {
            return Ok(());
        }
        match Way::walk(path) {
            Ok(way) if !way.is_directory() => image::must_be_roots(path, &way),
            _ => Ok(()),
        }
    }

    /// By the program `mount`, which knows the helpers of each type.
    fn mount(&self, kind: &str, more: &[&str]) -> Result<(), Trouble> {
        let mut options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        options.extend(more);
        options.extend(self.access.options().map(|option| -> &str { option }));
        let mut command = Command::new("mount");
        command
            .args(["-t", kind, "-o", &options.join(","), "--", &self.source])
            .arg(&self.staging);
        run(command)?;
        match table()?.at(&self.staging) {
            Some(_) => Ok(()),
            None => Err(Trouble::Failed(
                "`mount` said all is well, but nothing is mounted".to_owned(),
            )),
        }
    }

    /// What to look at, where it is a file with a file system in it.
    pub(super) fn weighing(&self) -> Option<Job> {
        let quota = self.quota.filter(|_| self.kind == "image")?;
        Some(Job::Weigh {
            image: PathBuf::from(&self.source),
            quota,
        })
    }
}

/// Runs a program of the system and takes its words when it fails.
pub(super) fn run(mut command: Command) -> Result<(), Trouble> {
    let program = command.get_program().to_string_lossy().into_owned();
    let path = [
        std::env::var_os("PATH").unwrap_or_default(),
        OsStr::new("/usr/sbin:/sbin:/usr/bin:/bin").to_owned(),
    ];
    let unusable = |cause: std::io::Error| {
        Trouble::Failed(format!("the program {program} cannot be run: {cause}"))
    };
    // A file, not a pipe: a file system's own process may hold it for as long as it lives.
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let said = rustix::fs::memfd_create("said", flags).map_err(|errno| unusable(errno.into()))?;
    let mut said = std::fs::File::from(said);
    let copy = || said.try_clone().map_err(unusable);
    let status = command
        .env("PATH", path.join(OsStr::new(":")))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(copy()?)
        .stderr(copy()?)
        .status()
        .map_err(unusable)?;
    if status.success() {
        return Ok(());
    }
    let mut words = Vec::new();
    said.rewind()
        .and_then(|()| said.take(4096).read_to_end(&mut words))
        .map_err(unusable)?;
    let words = String::from_utf8_lossy(&words);
    let words: Vec<_> = words.split_whitespace().collect();
    let words: String = words.join(" ").chars().take(400).collect();
    Err(Trouble::Failed(match words.as_str() {
        "" => format!("{program} ended with {status}"),
        words => words.to_owned(),
    }))
}
