//! A file server that dies in the way a story wants: `tests/dying_fs`, mounted as `holt node` mounts.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// How the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It answers.
    Well,
    /// It does not answer, and who asks cannot be ended.
    Hang,
    /// It answers with an input or output error.
    Error,
    /// It says that what it gave out is stale.
    Stale,
    /// Its client has ended.
    Gone,
}

/// A server with a directory that it serves.
#[derive(Debug)]
pub struct Dying {
    control: TempDir,
}

impl Dying {
    /// One that is well and has nothing.
    ///
    /// # Errors
    /// When there is no room for its files.
    pub fn new() -> Result<Self> {
        let dying = Self {
            control: tempfile::Builder::new().prefix("holt-dying-").tempdir()?,
        };
        std::fs::create_dir(dying.tree())?;
        dying.be(Mode::Well)?;
        Ok(dying)
    }

    /// The directory that it serves.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.control.path().join("tree")
    }

    /// Makes it so from the next question on.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn be(&self, mode: Mode) -> Result<()> {
        let word = match mode {
            Mode::Well => "well",
            Mode::Hang => "hang",
            Mode::Error => "error",
            Mode::Stale => "stale",
            Mode::Gone => "gone",
        };
        let new = self.control.path().join("mode.new");
        std::fs::write(&new, word)?;
        Ok(std::fs::rename(new, self.control.path().join("mode"))?)
    }

    /// The source for `mount -t fuse3`.
    ///
    /// # Errors
    /// When the program was not built.
    pub fn source(&self) -> Result<String> {
        Ok(format!(
            "{}#{}",
            program()?.display(),
            self.control.path().display()
        ))
    }

    /// Lines of `holt.toml` that mount it where the dumps are.
    ///
    /// # Errors
    /// When the program was not built.
    pub fn as_dumps(&self) -> Result<String> {
        Ok(format!(
            "[mount.dumps]\nsource = \"{}\"\nkind = \"fuse3\"\ntarget = \"/mnt/nfs/dumps\"\nlinks = [\"/public/dumps/public\"]",
            self.source()?
        ))
    }
}

/// The program, as cargo built it beside this one.
fn program() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    here.ancestors()
        .skip(1)
        .take(3)
        .map(|folder: &Path| folder.join("dying-fs"))
        .find(|path| path.is_file())
        .context("dying-fs was not built: run `cargo build -p holt-tests --bins`")
}
