//! How a command ends: one clear line on standard error, and a code that scripts can tell apart.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use crate::config::{DataDirError, Problem};
use crate::engine::EngineError;
use crate::socket::SocketError;
use crate::store::StoreError;
use crate::supervisor::listeners::ListenError;
use crate::supervisor::lock::LockError;

/// A mistake in the settings or on the command line.
pub(super) const USAGE: u8 = 64;
pub(super) const UNAVAILABLE: u8 = 69;
const SOFTWARE: u8 = 70;
const CANNOT_MAKE: u8 = 73;
pub(super) const INPUT_OUTPUT: u8 = 74;
pub(super) const TRY_LATER: u8 = 75;

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What to tell, with what to do. Empty: everything was told already.
    pub message: String,
}

impl Failure {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Files that the settings name and that cannot be used, one a line.
    pub(super) fn named_files(mistakes: &[String]) -> Self {
        Self::new(USAGE, mistakes.join("\n"))
    }

    /// Mistakes in the settings, one a line.
    pub(super) fn settings(problems: Vec<Problem>) -> Self {
        let mut message = String::new();
        for problem in &problems {
            let _ = writeln!(message, "{problem}");
        }
        let _ = write!(
            message,
            "{} in the settings",
            count(problems.len(), "mistake")
        );
        Self::new(USAGE, message)
    }

    /// The command line asks for what cannot be.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, message)
    }

    /// Something needed is not there.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(UNAVAILABLE, message)
    }

    /// Another process has what this one needs.
    pub(super) fn taken(message: impl Into<String>) -> Self {
        Self::new(TRY_LATER, message)
    }

    /// All was told already.
    pub(super) fn silent(code: u8) -> Self {
        Self::new(code, "")
    }

    /// Tells it, and gives the code to end with.
    pub(super) fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "holt: {}", self.message);
        }
        ExitCode::from(self.code)
    }
}

/// `1 mistake`, `2 mistakes`.
pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 {
        format!("1 {what}")
    } else {
        format!("{number} {what}s")
    }
}

impl From<DataDirError> for Failure {
    fn from(error: DataDirError) -> Self {
        Self::new(CANNOT_MAKE, error.to_string())
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Held { .. } => Self::new(TRY_LATER, error.to_string()),
            LockError::Unusable { .. } => Self::new(CANNOT_MAKE, crate::error_chain(&error)),
        }
    }
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        Self::new(UNAVAILABLE, error.to_string())
    }
}

impl From<SocketError> for Failure {
    fn from(error: SocketError) -> Self {
        match error {
            SocketError::InUse { .. } => Self::new(TRY_LATER, error.to_string()),
            SocketError::Unusable { .. } => Self::new(CANNOT_MAKE, crate::error_chain(&error)),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(INPUT_OUTPUT, crate::error_chain(&error))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(SOFTWARE, error.to_string())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => error.into(),
            EngineError::OpenProcesses(problem) => Self::settings(vec![problem]),
            EngineError::Refusing { .. } | EngineError::Missing { .. } => {
                Self::unavailable(error.to_string())
            }
        }
    }
}

/// Roles end with errors of many rooms; the ones that an operator can mend are told apart.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<StoreError>() {
            Ok(error) => return error.into(),
            Err(error) => error,
        };
        let error = match error.downcast::<SocketError>() {
            Ok(error) => return error.into(),
            Err(error) => error,
        };
        match error.downcast::<DataDirError>() {
            Ok(error) => error.into(),
            Err(error) => Self::new(SOFTWARE, format!("{error:#}")),
        }
    }
}
