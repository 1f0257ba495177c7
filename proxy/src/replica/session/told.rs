//! What the gateway answers by itself, as no server knows it.

use mysql_common::constants::{CapabilityFlags, ColumnType};

use super::{Talk, Then};
use crate::replica::like::is_like;
use crate::replica::packet;
use crate::replica::wire::WireError;

/// A database that every server has.
const OWN: &str = "information_schema";
/// `utf8mb3_general_ci`, which every client knows.
const COLLATION: u8 = 33;
/// The longest name, in bytes.
const NAME: u32 = 64 * 3;

impl Talk {
    /// Lists the databases of all sections, where a server would list its own.
    pub(super) async fn tell_databases(
        &mut self,
        pattern: Option<String>,
        came: u8,
    ) -> Result<Then, WireError> {
        let known = self.gateway.sections.databases();
        let names = std::iter::once(OWN)
            .chain(known.keys().map(String::as_str))
            .filter(|name| {
                pattern
                    .as_ref()
                    .is_none_or(|pattern| is_like(name, pattern))
            });
        let title = match &pattern {
            Some(pattern) => format!("Database ({})", packet::cut(pattern, 100)),
            None => "Database".to_owned(),
        };
        let mut out = Vec::new();
        let mut sequence = packet::write(&mut out, came, &[&[1]]);
        sequence = packet::write(&mut out, sequence, &[&definition(&title)]);
        let status = self.memory.status.bits().to_le_bytes();
        let is_short = self
            .capabilities
            .contains(CapabilityFlags::CLIENT_DEPRECATE_EOF);
        let eof = [packet::EOF, 0, 0, status[0], status[1]];
        if !is_short {
            sequence = packet::write(&mut out, sequence, &[&eof]);
        }
        for name in names {
            let mut row = Vec::with_capacity(name.len() + 1);
            put(&mut row, name);
            sequence = packet::write(&mut out, sequence, &[&row]);
        }
        if is_short {
            let ok = [packet::EOF, 0, 0, status[0], status[1], 0, 0];
            packet::write(&mut out, sequence, &[&ok]);
        } else {
            packet::write(&mut out, sequence, &[&eof]);
        }
        self.say(&out).await?;
        Ok(Then::GoOn)
    }
}

/// A text with its length before it. What is told here is short.
fn put(out: &mut Vec<u8>, text: &str) {
    let length = text.len().min(250);
    out.push(u8::try_from(length).unwrap_or_default());
    out.extend_from_slice(&text.as_bytes()[..length]);
}

/// The definition of the only column.
fn definition(title: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for text in ["def", OWN, "SCHEMATA", "SCHEMATA", title, "SCHEMA_NAME"] {
        put(&mut out, text);
    }
    out.extend_from_slice(&[12, COLLATION, 0]);
    out.extend_from_slice(&NAME.to_le_bytes());
    // Its type; that it is never null; no decimals; filler.
    out.extend_from_slice(&[ColumnType::MYSQL_TYPE_VAR_STRING as u8, 1, 0, 0, 0, 0]);
    out
}
