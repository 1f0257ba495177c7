//! The compressed protocol: packets within frames of zlib. Bytes in, bytes out.
//!
//! Source: "Compressed Packet" of MySQL's internals manual.

use std::io::{Read, Write};

use flate2::Compression as Level;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::wire::WireError;

/// Length, sequence number, length before compression.
const HEADER: usize = 7;
/// What is shorter is not worth it.
const SHORT: usize = 50;
/// The most of one frame.
const FRAME: usize = 256 * 1024;
/// A frame that grows beyond this is refused: what a client sends is text that a person or a program wrote.
const LARGEST: usize = 0xFF_FFFF;

/// Both directions of one client.
#[derive(Debug, Default)]
pub(crate) struct Compression {
    /// A frame that has not come whole.
    frame: Vec<u8>,
    plain: Vec<u8>,
    used: usize,
    next: u8,
}

impl Compression {
    /// What came, without frames.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.plain[self.used..]
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.used += count;
        if self.used >= self.plain.len() {
            self.used = 0;
            self.plain = Vec::new();
        }
    }

    /// The next exchange is numbered from the beginning.
    pub(crate) fn restart(&mut self) {
        self.next = 0;
    }

    /// Takes from `bytes` what there is up to the end of one frame; returns how much that was.
    pub(crate) fn take_in(&mut self, bytes: &[u8]) -> Result<usize, WireError> {
        let mut used = 0;
        while used < bytes.len() {
            let wanted = match number(&self.frame) {
                Some(length) if self.frame.len() >= HEADER => HEADER + length,
                _ => HEADER,
            };
            let now = (wanted - self.frame.len()).min(bytes.len() - used);
            self.frame.extend_from_slice(&bytes[used..used + now]);
            used += now;
            if self.frame.len() < HEADER {
                continue;
            }
            let length = number(&self.frame).unwrap_or_default();
            if self.frame.len() == HEADER + length {
                self.open()?;
                return Ok(used);
            }
        }
        Ok(used)
    }

    fn open(&mut self) -> Result<(), WireError> {
        let (head, body) = self.frame.split_at(HEADER);
        if head[3] != self.next {
            return Err(WireError::OutOfOrder);
        }
        self.next = self.next.wrapping_add(1);
        let before = number(&head[4..]).unwrap_or_default();
        if self.used > 0 {
            self.plain.drain(..self.used);
            self.used = 0;
        }
        if before == 0 {
            self.plain.extend_from_slice(body);
        } else {
            let start = self.plain.len();
            let most = before.min(LARGEST) as u64 + 1;
            let read = ZlibDecoder::new(body)
                .take(most)
                .read_to_end(&mut self.plain);
            let came = self.plain.len() - start;
            if read.is_err() || came != before {
                return Err(WireError::Nonsense(
                    "a compressed packet is not what it says",
                ));
            }
        }
        self.frame = Vec::new();
        Ok(())
    }

    /// Appends frames with these bytes to `out`.
    pub(crate) fn put_out(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        for part in bytes.chunks(FRAME) {
            let at = out.len();
            out.extend_from_slice(&[0; HEADER]);
            let mut before = 0;
            if part.len() < SHORT {
                out.extend_from_slice(part);
            } else {
                let mut encoder = ZlibEncoder::new(&mut *out, Level::fast());
                encoder.write_all(part)?;
                encoder.finish()?;
                before = part.len();
            }
            let length = out.len() - at - HEADER;
            let three = |number: usize| {
                let [a, b, c, ..] = u32::try_from(number).unwrap_or_default().to_le_bytes();
                [a, b, c]
            };
            out[at..at + 3].copy_from_slice(&three(length));
            out[at + 3] = self.next;
            out[at + 4..at + HEADER].copy_from_slice(&three(before));
            self.next = self.next.wrapping_add(1);
        }
        Ok(())
    }
}

fn number(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        [a, b, c, ..] => Some(usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_goes_out_comes_in(bytes in proptest::collection::vec(any::<u8>(), 1..2000), piece in 1_usize..40) {
            let mut frames = Vec::new();
            Compression::default().put_out(&bytes, &mut frames).unwrap();
            let mut reader = Compression::default();
            let mut rest = &frames[..];
            while !rest.is_empty() {
                let used = reader.take_in(&rest[..piece.min(rest.len())]).unwrap();
                rest = &rest[used..];
            }
            prop_assert_eq!(reader.bytes(), &bytes[..]);
        }

        #[test]
        fn nothing_read_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut reader = Compression::default();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                match reader.take_in(rest) {
                    Ok(used) => rest = &rest[used..],
                    Err(_) => break,
                }
            }
        }
    }
}
