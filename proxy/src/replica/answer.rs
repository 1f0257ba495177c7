//! Where a backend's answer ends: packet headers are read, and of each packet only what tells its kind. Pure.
//!
//! Sources: "Text Resultset", "COM_STMT_PREPARE Response", "COM_STMT_FETCH" and "COM_FIELD_LIST" of MySQL's internals manual.
//! **Invariant:** however the bytes are cut, the same answer ends at the same byte.

use mysql_common::constants::StatusFlags;

use super::packet::{
    EOF, ERR, HEADER, LOCAL_INFILE, OK, Reader, WHOLE, header, status_of_eof, status_of_ok,
};

/// The largest packet that must be seen whole: more than any OK or error packet has.
pub(crate) const SMALL: usize = 16 * 1024;

/// What kind of answer a command has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Results, one or more: of a text or a prepared statement.
    Results,
    /// What was prepared.
    Prepared,
    /// Rows alone: of a cursor.
    Rows,
    /// Definitions alone: of `COM_FIELD_LIST`.
    Definitions,
    /// One packet that says that all is well, or an error.
    Word,
    /// One packet of text.
    Text,
}

/// How definitions and rows end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// With EOF packets, and one between definitions and rows.
    Eof,
    /// With OK packets that begin as EOF does (`CLIENT_DEPRECATE_EOF`).
    Ok,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    First,
    /// Definitions of a result; rows follow.
    Columns(u64),
    /// The EOF between definitions and rows.
    ColumnsEnd,
    Rows,
    /// Definitions of what was prepared: of parameters now, of columns afterwards.
    Parameters(u64, u64),
    ParametersEnd(u64),
    Over,
}

/// What a walk over some bytes came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes belong to the answer, and more will come.
    More(usize),
    /// The answer ends with these bytes.
    End(usize),
    /// After so many bytes comes an error packet of so many, header included; it ends the answer.
    Error(usize, usize),
    /// The backend does not keep to the protocol, or asks for a file of the client's.
    Broken(&'static str),
}

/// A walk through one answer.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    wanted: Wanted,
    ends: Ends,
    state: State,
    /// Bytes of the packet under way that have not come.
    left: usize,
    /// Whether the next packet goes on with the one before.
    continues: bool,
    /// Whether a packet is under way or continued; nothing of ours may come in between.
    sequence: u8,
    shift: u8,
    /// Status of the last packet that told one.
    pub(crate) status: StatusFlags,
    /// Rows so far.
    pub(crate) rows: u64,
    /// Number of what was prepared.
    pub(crate) prepared: Option<u32>,
}

impl Walk {
    /// The answer to a command that came in `came` packets and was sent on in `sent`: its numbers are shifted where these differ.
    pub(crate) fn after(wanted: Wanted, ends: Ends, came: u8, sent: u8) -> Self {
        Self {
            sequence: came,
            ..Self::new(wanted, ends, came.wrapping_sub(sent))
        }
    }

    /// `shift` is added to each sequence number.
    pub(crate) fn new(wanted: Wanted, ends: Ends, shift: u8) -> Self {
        Self {
            wanted,
            ends,
            state: match wanted {
                Wanted::Rows => State::Rows,
                _ => State::First,
            },
            left: 0,
            continues: false,
            sequence: 1,
            shift,
            status: StatusFlags::empty(),
            rows: 0,
            prepared: None,
        }
    }

    /// The sequence number of a packet that would come now.
    pub(crate) fn sequence(&self) -> u8 {
        self.sequence
    }

    /// Whether a packet of ours may come now.
    pub(crate) fn is_between_packets(&self) -> bool {
        self.left == 0 && !self.continues
    }

    /// Looks at what has come; what a step tells of has been used, the rest must come again.
    pub(crate) fn step(&mut self, bytes: &mut [u8]) -> Step {
        let mut at = 0;
        loop {
            if self.left > 0 {
                let now = self.left.min(bytes.len() - at);
                self.left -= now;
                at += now;
                if self.left > 0 {
                    return Step::More(at);
                }
                if self.state == State::Over && !self.continues {
                    return Step::End(at);
                }
            }
            let Some((length, sequence)) = header(&bytes[at..]) else {
                return Step::More(at);
            };
            if !self.continues {
                if length == 0 {
                    return Step::Broken("an empty packet");
                }
                let payload = &bytes[at + HEADER..];
                let Some(kind) = payload.first() else {
                    return Step::More(at);
                };
                if self.must_be_whole(*kind, length) {
                    if length > SMALL {
                        return Step::Broken("a packet too large for what it says");
                    }
                    let Some(payload) = payload.get(..length) else {
                        return Step::More(at);
                    };
                    if *kind == ERR {
                        self.sequence = sequence.wrapping_add(self.shift);
                        self.state = State::Over;
                        return Step::Error(at, HEADER + length);
                    }
                    if let Err(why) = self.whole(*kind, payload) {
                        return Step::Broken(why);
                    }
                } else {
                    self.part();
                }
            }
            bytes[at + 3] = sequence.wrapping_add(self.shift);
            self.sequence = sequence.wrapping_add(self.shift).wrapping_add(1);
            self.continues = length == WHOLE;
            self.left = length;
            at += HEADER;
            if length == 0 && self.state == State::Over {
                return Step::End(at);
            }
        }
    }

    /// Whether this packet says something that must be read.
    fn must_be_whole(&self, kind: u8, length: usize) -> bool {
        match self.state {
            State::First => {
                self.wanted != Wanted::Text && self.wanted != Wanted::Definitions
                    || kind == ERR
                    || self.wanted == Wanted::Definitions && kind == EOF
            }
            State::Columns(_) | State::Parameters(..) => kind == ERR,
            State::ColumnsEnd | State::ParametersEnd(_) | State::Over => true,
            // A row may begin with the same byte where its first text has 16 MiB.
            State::Rows => kind == ERR || kind == EOF && length < WHOLE,
        }
    }

    /// A packet that is only passed on.
    fn part(&mut self) {
        self.state = match self.state {
            State::First if self.wanted == Wanted::Text => State::Over,
            State::Columns(1) => match self.ends {
                Ends::Eof => State::ColumnsEnd,
                Ends::Ok => State::Rows,
            },
            State::Columns(left) => State::Columns(left - 1),
            State::Parameters(1, columns) => match self.ends {
                Ends::Eof => State::ParametersEnd(columns),
                Ends::Ok => Self::prepared_columns(0, columns),
            },
            State::Parameters(left, columns) => State::Parameters(left - 1, columns),
            State::Rows => {
                self.rows += 1;
                State::Rows
            }
            other => other,
        };
    }

    fn prepared_columns(parameters: u64, columns: u64) -> State {
        match (parameters, columns) {
            (0, 0) => State::Over,
            // What is said of columns ends as what is said of parameters does.
            (0, columns) => State::Parameters(columns, 0),
            (parameters, columns) => State::Parameters(parameters, columns),
        }
    }

    /// A packet whose content decides what comes next.
    fn whole(&mut self, kind: u8, payload: &[u8]) -> Result<(), &'static str> {
        self.state = match self.state {
            State::First => match (self.wanted, kind) {
                (Wanted::Prepared, OK) => {
                    let mut reader = Reader(payload.get(1..).unwrap_or_default());
                    let id = reader.u32();
                    let (columns, parameters) = (reader.u16(), reader.u16());
                    let (Some(id), Some(columns), Some(parameters)) = (id, columns, parameters)
                    else {
                        return Err("what was prepared is not told");
                    };
                    self.prepared = Some(id);
                    Self::prepared_columns(u64::from(parameters), u64::from(columns))
                }
                (Wanted::Results | Wanted::Word, OK) => self.ended(status_of_ok(payload))?,
                (Wanted::Results, LOCAL_INFILE) => {
                    return Err("a request for a file of the client's");
                }
                (Wanted::Results, _) => match Reader(payload).number() {
                    Some(columns @ 1..=0xFFFF) => State::Columns(columns),
                    _ => return Err("a number of columns that cannot be"),
                },
                (Wanted::Definitions, EOF) => {
                    self.last_status(payload)?;
                    State::Over
                }
                (Wanted::Word, EOF) => {
                    self.last_status(payload)?;
                    State::Over
                }
                _ => return Err("a packet that is no answer to the command"),
            },
            State::ColumnsEnd => {
                if kind != EOF {
                    return Err("definitions without an end");
                }
                let status = status_of_eof(payload).ok_or("an end without a status")?;
                self.status = status;
                if status.contains(StatusFlags::SERVER_STATUS_CURSOR_EXISTS) {
                    State::Over
                } else {
                    State::Rows
                }
            }
            State::ParametersEnd(columns) => {
                if kind != EOF {
                    return Err("definitions without an end");
                }
                Self::prepared_columns(0, columns)
            }
            State::Rows => {
                let status = match self.ends {
                    Ends::Eof => status_of_eof(payload),
                    Ends::Ok => status_of_ok(payload),
                };
                match self.wanted {
                    Wanted::Rows => {
                        self.status = status.ok_or("rows that end without a status")?;
                        State::Over
                    }
                    _ => self.ended(status)?,
                }
            }
            State::Columns(_) | State::Parameters(..) | State::Over => {
                return Err("a packet after the end");
            }
        };
        Ok(())
    }

    fn last_status(&mut self, payload: &[u8]) -> Result<(), &'static str> {
        let status = match self.ends {
            Ends::Eof => status_of_eof(payload),
            Ends::Ok => status_of_ok(payload),
        };
        self.status = status.ok_or("an end without a status")?;
        Ok(())
    }

    /// One result is over; another may follow.
    fn ended(&mut self, status: Option<StatusFlags>) -> Result<State, &'static str> {
        self.status = status.ok_or("an end without a status")?;
        let more = self
            .status
            .contains(StatusFlags::SERVER_MORE_RESULTS_EXISTS);
        Ok(if more && self.wanted == Wanted::Results {
            State::First
        } else {
            State::Over
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::replica::packet::{SqlError, write};

    fn packets(payloads: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut sequence = 1;
        for payload in payloads {
            sequence = write(&mut out, sequence, &[payload]);
        }
        out
    }

    /// How an answer ends when it comes in pieces: consumed bytes, and the last step.
    fn walk(walk: &mut Walk, mut bytes: Vec<u8>, piece: usize) -> (usize, Step) {
        let (mut used, mut seen) = (0, 0);
        loop {
            seen = (seen + piece).min(bytes.len());
            match walk.step(&mut bytes[used..seen]) {
                Step::More(count) => {
                    used += count;
                    if seen == bytes.len() {
                        return (used, Step::More(0));
                    }
                }
                other => return (used, other),
            }
        }
    }

    const OK_PACKET: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
    const EOF_PACKET: &[u8] = &[0xFE, 0, 0, 2, 0];
    const OK_END: &[u8] = &[0xFE, 0, 0, 2, 0, 0, 0];
    const MORE: &[u8] = &[0xFE, 0, 0, 10, 0];

    #[test]
    fn answers_end_where_they_do() {
        let error = [&[0xFF, 1, 4][..], b"#HY000no"].concat();
        let large = vec![b'x'; WHOLE + 10];
        let prepared: &[u8] = &[0, 9, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0];
        let cases: &[(Wanted, Ends, &[&[u8]])] = &[
            (Wanted::Results, Ends::Ok, &[OK_PACKET]),
            (
                Wanted::Results,
                Ends::Eof,
                &[&[1], b"def", EOF_PACKET, b"\x01a", b"\xFBb", EOF_PACKET],
            ),
            (
                Wanted::Results,
                Ends::Ok,
                &[&[2], b"def", b"def", b"\x01a", OK_END],
            ),
            (Wanted::Results, Ends::Ok, &[&[1], b"def", &large, OK_END]),
            (
                Wanted::Results,
                Ends::Eof,
                &[&[1], b"def", EOF_PACKET, MORE, OK_PACKET],
            ),
            (
                Wanted::Results,
                Ends::Eof,
                &[&[1], b"def", &[0xFE, 0, 0, 0x40, 0]],
            ),
            (
                Wanted::Prepared,
                Ends::Eof,
                &[prepared, b"p", b"p", EOF_PACKET, b"c", EOF_PACKET],
            ),
            (Wanted::Prepared, Ends::Ok, &[prepared, b"p", b"p", b"c"]),
            (
                Wanted::Prepared,
                Ends::Ok,
                &[&[0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
            ),
            (Wanted::Rows, Ends::Ok, &[b"\x00r", b"\x00r", OK_END]),
            (
                Wanted::Definitions,
                Ends::Eof,
                &[b"def", b"def", EOF_PACKET],
            ),
            (Wanted::Word, Ends::Ok, &[OK_PACKET]),
            (Wanted::Text, Ends::Ok, &[b"Uptime: 1"]),
        ];
        for (wanted, ends, payloads) in cases {
            let bytes = packets(payloads);
            for piece in [1, 3, 7, 64 * 1024, bytes.len()] {
                if piece < 1000 && bytes.len() > 10_000 {
                    continue;
                }
                let mut one = Walk::new(*wanted, *ends, 0);
                let mut more = bytes.clone();
                more.extend_from_slice(&[7; 9]);
                let (used, last) = walk(&mut one, more, piece);
                let Step::End(count) = last else {
                    panic!("{wanted:?} {payloads:?}: {last:?}")
                };
                assert_eq!(used + count, bytes.len(), "{wanted:?} {piece}");
            }
        }
        let bytes = packets(&[&[1], b"def", b"\x01a", &error]);
        let mut one = Walk::new(Wanted::Results, Ends::Ok, 0);
        let (used, last) = walk(&mut one, bytes.clone(), 5);
        let Step::Error(before, length) = last else {
            panic!("{last:?}")
        };
        assert_eq!(used + before + length, bytes.len());
        assert_eq!(
            SqlError::read(&bytes[used + before + HEADER..])
                .unwrap()
                .message,
            "no"
        );
        assert_eq!((one.rows, one.sequence()), (1, 4));
    }

    #[test]
    fn a_request_for_a_file_is_no_answer() {
        let mut bytes = packets(&[b"\xFB/etc/passwd"]);
        let step = Walk::new(Wanted::Results, Ends::Ok, 0).step(&mut bytes);
        assert!(matches!(step, Step::Broken(why) if why.contains("file")));
    }

    #[test]
    fn numbers_are_shifted_where_the_statement_took_another_packet() {
        let mut bytes = packets(&[OK_PACKET]);
        assert_eq!(
            Walk::new(Wanted::Word, Ends::Ok, 255).step(&mut bytes),
            Step::End(11)
        );
        assert_eq!(bytes[3], 0);
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter_and_nothing_panics(
            bytes in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(3), Just(0xFE), any::<u8>()], 0..120),
            piece in 1_usize..9,
            deprecate: bool,
        ) {
            let ends = if deprecate { Ends::Ok } else { Ends::Eof };
            for wanted in [Wanted::Results, Wanted::Prepared, Wanted::Rows, Wanted::Definitions, Wanted::Word, Wanted::Text] {
                let end = |(used, step): (usize, Step)| match step {
                    Step::End(count) => (used + count, "end"),
                    Step::Error(before, length) => (used + before + length, "error"),
                    Step::More(_) => (0, "more"),
                    Step::Broken(why) => (0, why),
                };
                let whole = end(walk(&mut Walk::new(wanted, ends, 0), bytes.clone(), bytes.len().max(1)));
                let cut = end(walk(&mut Walk::new(wanted, ends, 0), bytes.clone(), piece));
                prop_assert_eq!(whole, cut);
            }
        }
    }
}
