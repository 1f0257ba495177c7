//! What a session is, apart from its connection: what must be the same after it goes on elsewhere, and what keeps it where it is.

use std::collections::HashMap;

use mysql_common::constants::StatusFlags;

use super::lexer::Backslash;
use super::packet::SqlError;
use super::statement::Pin;

/// The most settings that are remembered.
const SETTINGS: usize = 64;
/// The most prepared statements of a session.
pub(crate) const PREPARED: usize = 1000;

/// What is known of a session.
#[derive(Debug)]
pub(crate) struct Memory {
    /// The default database; empty is none.
    pub(crate) database: String,
    pub(crate) collation: u8,
    /// What the last answer said.
    pub(crate) status: StatusFlags,
    /// Settings that were changed: their names, and the statement.
    settings: Vec<(Vec<String>, String)>,
    pin: Option<Pin>,
    /// A transaction was begun in words.
    begun: bool,
    /// What was prepared: number to the text that is shown.
    pub(crate) prepared: HashMap<u32, String>,
}

impl Memory {
    pub(crate) fn new(database: String, collation: u8) -> Self {
        Self {
            database,
            collation,
            status: StatusFlags::SERVER_STATUS_AUTOCOMMIT,
            settings: Vec::new(),
            pin: None,
            begun: false,
            prepared: HashMap::new(),
        }
    }

    /// As after a change of user or a reset, with this database.
    pub(crate) fn forget(&mut self) {
        let database = std::mem::take(&mut self.database);
        *self = Self::new(database, self.collation);
    }

    /// How backslashes are read.
    pub(crate) fn backslash(&self) -> Backslash {
        if self
            .status
            .contains(StatusFlags::SERVER_STATUS_NO_BACKSLASH_ESCAPES)
        {
            Backslash::Plain
        } else {
            Backslash::Escapes
        }
    }

    /// An answer said how the session is.
    pub(crate) fn answered(&mut self, status: StatusFlags) {
        self.status = status - StatusFlags::SERVER_MORE_RESULTS_EXISTS;
        if !status.contains(StatusFlags::SERVER_STATUS_IN_TRANS) {
            self.begun = false;
        }
    }

    pub(crate) fn begin(&mut self) {
        self.begun = true;
    }

    pub(crate) fn end(&mut self) {
        self.begun = false;
    }

    pub(crate) fn pin(&mut self, pin: Option<Pin>) {
        self.pin = pin.or(self.pin);
    }

    /// A setting was changed. One that cannot be remembered keeps the session where it is.
    pub(crate) fn set(&mut self, names: Vec<String>, statement: &[u8]) {
        // Said again, a backslash may mean something else: how it is read is a setting too, and a later one.
        let text = match std::str::from_utf8(statement) {
            Ok(text) if !text.contains('\\') => text,
            _ => {
                self.pin(Some(Pin::Setting));
                return;
            }
        };
        self.settings
            .retain(|(known, _)| !known.iter().all(|name| names.contains(name)));
        if self.settings.len() == SETTINGS {
            self.pin(Some(Pin::Setting));
        } else if !names.is_empty() {
            self.settings
                .push((names, text.trim_end_matches([';', ' ', '\n']).to_owned()));
        }
    }

    /// The statements that make a fresh connection as this session is.
    pub(crate) fn settings(&self) -> impl Iterator<Item = &str> {
        self.settings
            .iter()
            .map(|(_, statement)| statement.as_str())
    }

    /// Why the session cannot leave its section, if it cannot.
    pub(crate) fn keeps(&self) -> Option<&'static str> {
        if self.begun {
            Some("a transaction is open: COMMIT or ROLLBACK first")
        } else if !self.prepared.is_empty() {
            Some("prepared statements are open: close them first")
        } else {
            match self.pin {
                Some(Pin::Variable) => {
                    Some("variables of your own (@name) are set: open another connection")
                }
                Some(Pin::Setting) => Some(
                    "a setting was made that cannot be made again elsewhere: open another connection",
                ),
                Some(Pin::Lock) => Some("a lock by name is held: open another connection"),
                None => None,
            }
        }
    }

    /// Why the session cannot go from one section to another, in words.
    pub(crate) fn kept(&self, from: &str, to: &str) -> Option<SqlError> {
        self.keeps().map(|why| {
            SqlError::new(1105, b"HY000", format!("Holt: this connection is at section {from}, the statement needs {to}, and it cannot go there while {why}"))
        })
    }
}
