//! The state directory: what must survive a kill, each in a file of its own, replaced whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The directory.
#[derive(Debug)]
pub(crate) struct StateDir(PathBuf);

impl StateDir {
    /// Opens it, made when absent, readable by its owner alone.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        Ok(StateDir(path.to_path_buf()))
    }

    /// Reads a file; `None` when it is absent or cannot be understood (then it is set aside, and the log says so).
    pub(crate) fn load<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let path = self.0.join(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match serde_json::from_slice(&text) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                let aside = self.0.join(format!("{name}.bad"));
                tracing::warn!(file = %path.display(), %error, "{name} cannot be read and is set aside; the hub will send it again");
                fs::rename(&path, aside)?;
                Ok(None)
            }
        }
    }

    /// Replaces a file: a reader, and a start after a power cut, sees the old or the new text, whole.
    pub(crate) fn save<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        let text = serde_json::to_vec(value)?;
        let fresh = self.0.join(format!("{name}.new"));
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&fresh, self.0.join(name))?;
        File::open(&self.0)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("state")).unwrap();
        assert_eq!(state.load::<Vec<u8>>("x.json").unwrap(), None);
        state.save("x.json", &vec![1_u8]).unwrap();
        assert_eq!(state.load::<Vec<u8>>("x.json").unwrap(), Some(vec![1]));
        fs::write(dir.path().join("state/x.json"), "[1").unwrap();
        assert_eq!(state.load::<Vec<u8>>("x.json").unwrap(), None);
        assert!(dir.path().join("state/x.json.bad").exists());
    }
}
