//! `holt check`: every mistake in the settings, and nothing else.

use std::io::Write;

use super::{Failure, Overrides};

pub(super) fn run(overrides: &Overrides) -> Result<(), Failure> {
    let settings = overrides.load()?;
    let file = match &settings.file {
        Some(path) => path.display().to_string(),
        None => "no settings file, only defaults and the environment".to_owned(),
    };
    let _ = writeln!(std::io::stdout(), "No mistakes ({file}).");
    if let Some(note) = settings.replica_note() {
        let _ = writeln!(std::io::stdout(), "{note}");
    }
    Ok(())
}
