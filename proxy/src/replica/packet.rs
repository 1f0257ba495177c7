//! Packets of the MySQL protocol as bytes: their header, their numbers and strings, and the few that the gateway writes itself.
//!
//! Source: the MySQL internals manual and MariaDB's protocol pages. Nothing here does I/O, and nothing that comes from outside panics.

use mysql_common::constants::StatusFlags;

/// Length and sequence number before each packet.
pub(crate) const HEADER: usize = 4;
/// A packet of this length is continued by the next one.
pub(crate) const WHOLE: usize = 0xFF_FFFF;

/// What begins an answer that all is well.
pub(crate) const OK: u8 = 0x00;
/// What begins an error.
pub(crate) const ERR: u8 = 0xFF;
/// What ends rows or definitions.
pub(crate) const EOF: u8 = 0xFE;
/// What asks the client for a file of its own.
pub(crate) const LOCAL_INFILE: u8 = 0xFB;

/// The length and the sequence number in a header.
pub(crate) fn header(bytes: &[u8]) -> Option<(usize, u8)> {
    match *bytes {
        [a, b, c, sequence, ..] => Some((
            usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16,
            sequence,
        )),
        _ => None,
    }
}

/// Appends a payload with its headers; returns the next sequence number.
///
/// A payload of a whole packet's length, or a multiple, is followed by an empty packet, as the protocol wants.
pub(crate) fn write(out: &mut Vec<u8>, mut sequence: u8, parts: &[&[u8]]) -> u8 {
    let mut left: usize = parts.iter().map(|part| part.len()).sum();
    let mut parts = parts.iter();
    let mut part: &[u8] = parts.next().copied().unwrap_or_default();
    loop {
        let length = left.min(WHOLE);
        let [a, b, c, ..] = u32::try_from(length).unwrap_or_default().to_le_bytes();
        out.extend_from_slice(&[a, b, c, sequence]);
        sequence = sequence.wrapping_add(1);
        let mut wanted = length;
        while wanted > 0 {
            if part.is_empty() {
                match parts.next() {
                    Some(next) => part = next,
                    None => break,
                }
                continue;
            }
            let (now, rest) = part.split_at(part.len().min(wanted));
            out.extend_from_slice(now);
            wanted -= now.len();
            part = rest;
        }
        left -= length;
        if length < WHOLE {
            return sequence;
        }
    }
}

/// An error of the protocol: number, state and words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlError {
    /// MySQL's number.
    pub(crate) code: u16,
    /// SQLSTATE.
    pub(crate) state: [u8; 5],
    /// What to tell the user.
    pub(crate) message: String,
}

impl SqlError {
    pub(crate) fn new(code: u16, state: &[u8; 5], message: impl Into<String>) -> Self {
        Self {
            code,
            state: *state,
            message: message.into(),
        }
    }

    /// The packet.
    pub(crate) fn write(&self, out: &mut Vec<u8>, sequence: u8) -> u8 {
        let code = self.code.to_le_bytes();
        // Clients cut at 512 bytes or so; a cut in the middle of a letter would be worse.
        let message = cut(&self.message, 500);
        write(
            out,
            sequence,
            &[&[ERR], &code, b"#", &self.state, message.as_bytes()],
        )
    }

    /// Reads the payload of an error packet.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader(payload);
        if reader.byte()? != ERR {
            return None;
        }
        let code = reader.u16()?;
        let mut state = *b"HY000";
        if reader.0.first() == Some(&b'#') {
            state.copy_from_slice(reader.take(6)?.get(1..)?);
        }
        Some(Self {
            code,
            state,
            message: String::from_utf8_lossy(reader.0).into_owned(),
        })
    }
}

impl std::fmt::Display for SqlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for SqlError {}

/// The beginning of a text, at most so many bytes.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Appends that all is well, with nothing changed.
pub(crate) fn write_ok(out: &mut Vec<u8>, sequence: u8, status: StatusFlags, info: &[u8]) -> u8 {
    let status = status.bits().to_le_bytes();
    write(out, sequence, &[&[OK, 0, 0], &status, &[0, 0], info])
}

/// Bytes taken from the front, with `None` where they are not there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'b>(pub(crate) &'b [u8]);

impl<'b> Reader<'b> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take(2)
            .map(|taken| u16::from_le_bytes([taken[0], taken[1]]))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        let taken = self.take(4)?;
        Some(u32::from_le_bytes([taken[0], taken[1], taken[2], taken[3]]))
    }

    /// A number whose first byte tells its length.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let count = match self.byte()? {
            small @ ..=0xFA => return Some(u64::from(small)),
            0xFC => 2,
            0xFD => 3,
            0xFE => 8,
            _ => return None,
        };
        let mut bytes = [0; 8];
        bytes[..count].copy_from_slice(self.take(count)?);
        Some(u64::from_le_bytes(bytes))
    }

    /// Bytes with their length before them.
    pub(crate) fn counted(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    /// Bytes up to a zero, which is taken too; or to the end, as some programs forget the zero.
    pub(crate) fn until_zero(&mut self) -> &'b [u8] {
        let end = memchr::memchr(0, self.0).unwrap_or(self.0.len());
        let taken = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        taken
    }
}

/// The status in the payload of an OK packet, also of one that ends rows (`CLIENT_DEPRECATE_EOF`).
pub(crate) fn status_of_ok(payload: &[u8]) -> Option<StatusFlags> {
    let mut reader = Reader(payload);
    reader.byte()?;
    reader.number()?;
    reader.number()?;
    reader.u16().map(StatusFlags::from_bits_truncate)
}

/// The status in the payload of an EOF packet.
pub(crate) fn status_of_eof(payload: &[u8]) -> Option<StatusFlags> {
    let mut reader = Reader(payload);
    reader.take(3)?;
    reader.u16().map(StatusFlags::from_bits_truncate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_whole_packet_is_followed_by_another() {
        for (length, count) in [(0, 1), (1, 1), (WHOLE - 1, 1), (WHOLE, 2), (WHOLE + 5, 2)] {
            let payload = vec![7; length];
            let mut out = Vec::new();
            let (first, second) = payload.split_at(length / 3);
            let next = write(&mut out, 254, &[first, second]);
            assert_eq!(next, 254_u8.wrapping_add(count as u8));
            let mut rest = &out[..];
            let mut found = 0;
            let mut sequence = 254_u8;
            while let Some((length, number)) = header(rest) {
                assert_eq!(number, sequence);
                sequence = sequence.wrapping_add(1);
                found += length;
                rest = &rest[HEADER + length..];
            }
            assert_eq!((found, rest.len()), (length, 0));
        }
    }

    #[test]
    fn an_error_is_read_as_it_was_written() {
        let error = SqlError::new(1045, b"28000", "no ünï");
        let mut out = Vec::new();
        error.write(&mut out, 3);
        assert_eq!(out[3], 3);
        assert_eq!(SqlError::read(&out[HEADER..]), Some(error));
    }

    proptest! {
        #[test]
        fn nothing_read_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader(&bytes);
            let _ = (reader.number(), reader.counted(), reader.until_zero(), reader.u32());
            let _ = (SqlError::read(&bytes), status_of_ok(&bytes), status_of_eof(&bytes), header(&bytes));
        }
    }
}
