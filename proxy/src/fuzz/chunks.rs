//! Chunked bodies: the walker and a plain decoder of whole bodies find the same data, or both none.

use super::cuts::cuts;
use crate::http::parsers::{Chunks, Piece};

/// Bytes of a size line with its end, at most.
const SIZE_LINE: usize = 1024;
/// Bytes of the trailer lines with their ends, at most.
const TRAILERS: usize = 8192;

/// What a chunked body comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// Its data, its trailers, and its length as it came.
    Whole {
        data: Vec<u8>,
        trailers: Vec<Vec<u8>>,
        length: usize,
    },
    /// The data of a body that is not over.
    Part(Vec<u8>),
    /// It is none.
    Bad,
}

/// Decodes the chunked body at the beginning of these bytes, by RFC 9112, section 7.1, without its leniency.
pub(super) fn decode(bytes: &[u8]) -> Decoded {
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = line(&bytes[at..]) else {
            // A line that has grown too long has no end that could help.
            let long = bytes.len() - at >= SIZE_LINE;
            return if long {
                Decoded::Bad
            } else {
                Decoded::Part(data)
            };
        };
        let Some(size) = size(line) else {
            return Decoded::Bad;
        };
        at += line.len();
        if size == 0 {
            return decode_trailers(bytes, at, data);
        }
        let there = (bytes.len() - at) as u64;
        if size > there {
            data.extend_from_slice(&bytes[at..]);
            return Decoded::Part(data);
        }
        let end = at + size as usize;
        data.extend_from_slice(&bytes[at..end]);
        match &bytes[end..bytes.len().min(end + 2)] {
            b"\r\n" => at = end + 2,
            b"" | b"\r" => return Decoded::Part(data),
            _ => return Decoded::Bad,
        }
    }
}

/// Whether each size of a whole body is a number without zeros before it or words behind it.
pub(super) fn is_spelled_plainly(mut bytes: &[u8]) -> bool {
    while let Some(line) = line(bytes) {
        let size = size(line).unwrap_or_default();
        let plain = format!("{size:x}\r\n");
        if !line.eq_ignore_ascii_case(plain.as_bytes()) {
            return false;
        }
        if size == 0 {
            return true;
        }
        bytes = &bytes[line.len() + size as usize + 2..];
    }
    false
}

fn decode_trailers(bytes: &[u8], begin: usize, data: Vec<u8>) -> Decoded {
    let mut at = begin;
    let mut trailers = Vec::new();
    loop {
        let Some(line) = line(&bytes[at..]) else {
            let long = bytes.len() - begin > TRAILERS && &bytes[at..] != b"\r";
            return if long {
                Decoded::Bad
            } else {
                Decoded::Part(data)
            };
        };
        at += line.len();
        if line == b"\r\n" {
            return Decoded::Whole {
                data,
                trailers,
                length: at,
            };
        }
        if at - begin > TRAILERS || !is_field(line) {
            return Decoded::Bad;
        }
        trailers.push(line.to_vec());
    }
}

/// The first line, with its end.
fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some(&bytes[..=end])
}

/// The number in a size line.
fn size(line: &[u8]) -> Option<u64> {
    let text = line
        .strip_suffix(b"\r\n")
        .filter(|_| line.len() <= SIZE_LINE)?;
    let mut parts = text.splitn(2, |byte| *byte == b';');
    let number = parts.next().filter(|number| number.len() <= 16)?;
    if number.is_empty() || !number.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let extension = parts.next().unwrap_or_default();
    if !extension.iter().all(|byte| is_text(*byte)) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(number).ok()?, 16).ok()
}

fn is_field(line: &[u8]) -> bool {
    let Some(text) = line.strip_suffix(b"\r\n") else {
        return false;
    };
    let mut parts = text.splitn(2, |byte| *byte == b':');
    let name = parts.next().unwrap_or_default();
    let separators = br#"(),/:;<=>?@[\]{}""#;
    let sound = |byte: &u8| byte.is_ascii_graphic() && !separators.contains(byte);
    let value = parts.next();
    !name.is_empty()
        && name.iter().all(sound)
        && value.is_some_and(|value| value.iter().all(|byte| is_text(*byte)))
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// What the walker made of a body.
#[derive(Debug, Default, PartialEq, Eq)]
struct Walked {
    data: Vec<u8>,
    // What goes on: framing as it came or said anew, without trailers.
    on: Vec<u8>,
    used: usize,
    ended: bool,
    bad: bool,
}

/// A chunked body, and what follows it.
///
/// # Panics
/// When a property is broken.
pub fn chunks(bytes: &[u8]) {
    let walked = walk(bytes, &[bytes.len()]);
    for ends in cuts(bytes) {
        assert_eq!(walk(bytes, &ends), walked, "cut at {ends:?}");
    }
    match decode(bytes) {
        Decoded::Whole { data, length, .. } => {
            assert!(!walked.bad, "it is a body");
            assert!(walked.ended, "it ends after {length} bytes");
            assert_eq!((walked.used, &walked.data), (length, &data));
            let again = Decoded::Whole {
                data,
                trailers: Vec::new(),
                length: walked.on.len(),
            };
            assert_eq!(decode(&walked.on), again, "what goes on is another body");
            assert!(is_spelled_plainly(&walked.on), "a size is spelled oddly");
        }
        Decoded::Part(data) => {
            assert!(!walked.ended);
            assert_eq!(walked.data, data);
            if walked.bad {
                assert!(is_hopeless(bytes), "it could still become a body");
            } else {
                assert_eq!(decode(&walked.on), Decoded::Part(data));
            }
        }
        Decoded::Bad => {
            assert!(walked.bad, "it is no body");
            assert!(!matches!(decode(&walked.on), Decoded::Whole { .. }));
        }
    }
}

/// Whether no end of its last line makes it more than a broken body.
fn is_hopeless(bytes: &[u8]) -> bool {
    ["\n", "\r\n", "0\r\n", ":\r\n"]
        .iter()
        .all(|end| decode(&[bytes, end.as_bytes()].concat()) == Decoded::Bad)
}

fn walk(bytes: &[u8], ends: &[usize]) -> Walked {
    let mut chunks = Chunks::default();
    let mut walked = Walked::default();
    for end in ends {
        while !walked.ended && !walked.bad {
            let there = &bytes[walked.used..*end];
            let piece = match chunks.next(there) {
                Ok(piece) => piece,
                Err(_) => {
                    walked.bad = true;
                    break;
                }
            };
            let length = match piece {
                Piece::More => break,
                Piece::Data(length) => {
                    walked.data.extend_from_slice(&there[..length]);
                    walked.on.extend_from_slice(&there[..length]);
                    length
                }
                Piece::Framing(length) => {
                    walked.on.extend_from_slice(&there[..length]);
                    length
                }
                Piece::Extended(length, size) => {
                    walked.on.extend(format!("{size:x}\r\n").into_bytes());
                    length
                }
                Piece::Trailer(length) => length,
                Piece::End(length) => {
                    walked.on.extend_from_slice(&there[..length]);
                    walked.ended = true;
                    length
                }
            };
            assert!(length > 0 && length <= there.len());
            walked.used += length;
        }
    }
    walked
}
