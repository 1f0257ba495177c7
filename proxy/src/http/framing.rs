//! Where a message's body ends: the rules of RFC 9112, section 6, read so that no other reading is left.

use super::fields::words;
use super::head::Method;

/// Bytes of a chunk's size line, with its extensions.
const SIZE_LINE: usize = 1024;
/// Bytes of all trailer lines.
const TRAILERS: usize = 8 * 1024;

/// How a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// All until the connection ends.
    UntilClose,
}

/// Why a body's end cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFraming {
    /// Two readings.
    #[error("{0}")]
    Ambiguous(&'static str),
    /// A coding that is not known here.
    #[error("only the transfer coding 'chunked' is known here")]
    Coding,
}

/// What the lines of a head say of its body.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said {
    length: Option<u64>,
    chunked: bool,
}

impl Said {
    /// Takes a `Content-Length`.
    pub(crate) fn take_length(&mut self, value: &[u8]) -> Result<(), BadFraming> {
        if self.chunked {
            return Err(BadFraming::Ambiguous(
                "a body has a length or is chunked, not both",
            ));
        }
        let length = digits(value)
            .filter(|_| self.length.is_none())
            .ok_or(BadFraming::Ambiguous("Content-Length must be one number"))?;
        self.length = Some(length);
        Ok(())
    }

    /// Takes a `Transfer-Encoding`.
    pub(crate) fn take_coding(&mut self, value: &[u8], old: bool) -> Result<(), BadFraming> {
        if old {
            return Err(BadFraming::Ambiguous("HTTP/1.0 has no Transfer-Encoding"));
        }
        if self.length.is_some() {
            return Err(BadFraming::Ambiguous(
                "a body has a length or is chunked, not both",
            ));
        }
        if self.chunked {
            return Err(BadFraming::Ambiguous("Transfer-Encoding is said twice"));
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(other_coding(value));
        }
        self.chunked = true;
        Ok(())
    }

    /// The framing of a request.
    pub(crate) fn of_request(self) -> Framing {
        match (self.chunked, self.length) {
            (true, _) => Framing::Chunked,
            (false, Some(0) | None) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
        }
    }

    /// The framing of the answer to a request.
    pub(crate) fn of_response(self, status: u16, method: Method) -> Framing {
        if method == Method::Head || matches!(status, 100..=199 | 204 | 304) {
            return Framing::None;
        }
        match (self.chunked, self.length) {
            (true, _) => Framing::Chunked,
            (false, Some(0)) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        }
    }

    /// Whether chunks were said.
    pub(crate) fn is_chunked(self) -> bool {
        self.chunked
    }

    /// Writes what was said, in its one spelling.
    pub(crate) fn write(self, head: &mut Vec<u8>) {
        if self.chunked {
            head.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        } else if let Some(length) = self.length {
            head.extend_from_slice(b"Content-Length: ");
            head.extend_from_slice(itoa(length, &mut [0; 20]));
            head.extend_from_slice(b"\r\n");
        }
    }
}

fn other_coding(value: &[u8]) -> BadFraming {
    let sound = value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .all(|word| !word.is_empty() && word.iter().all(is_token));
    let mut codings: Vec<&[u8]> = words(value).collect();
    let last = codings.pop().unwrap_or_default();
    let is = |word: &[u8], known: &[u8]| word.eq_ignore_ascii_case(known);
    let twice = codings
        .iter()
        .any(|word| is(word, b"chunked") || is(word, b"identity"));
    if !sound || twice || is(last, b"identity") || (!codings.is_empty() && !is(last, b"chunked")) {
        return BadFraming::Ambiguous("Transfer-Encoding can only be 'chunked', once");
    }
    BadFraming::Coding
}

/// Whether a byte may stand in a token (RFC 9110, section 5.6.2).
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// A number written with digits alone.
fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A number as text.
pub(crate) fn itoa(mut number: u64, space: &mut [u8; 20]) -> &[u8] {
    let mut at = space.len();
    loop {
        at -= 1;
        space[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &space[at..];
        }
    }
}

/// A body that is being read.
#[derive(Debug)]
pub(crate) enum Body {
    /// Its end was seen.
    Ended,
    /// So many bytes are to come.
    Length(u64),
    /// In chunks.
    Chunked(Chunks),
    /// Until the connection ends.
    UntilClose,
}

impl From<Framing> for Body {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::None => Body::Ended,
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Chunks::default()),
            Framing::UntilClose => Body::UntilClose,
        }
    }
}

/// Reads a chunked body, piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    state: ChunkState,
    trailers: usize,
}

#[derive(Debug, Default)]
enum ChunkState {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailer,
}

/// The next piece of a chunked body, with its length in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Framing that may be passed on as it is.
    Framing(usize),
    /// Data.
    Data(usize),
    /// A size line with extensions, which end here, or zeros before the number: the chunk's size has to be said anew.
    Extended(usize, u64),
    /// A trailer line.
    Trailer(usize),
    /// The last line.
    End(usize),
    /// More bytes are needed.
    More,
}

/// A chunked body that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadChunk(&'static str);

impl Chunks {
    /// The piece at the beginning of these bytes.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Piece, BadChunk> {
        match &mut self.state {
            ChunkState::Size => self.size(bytes),
            ChunkState::Data(left) => {
                let take = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                if take == 0 {
                    return Ok(Piece::More);
                }
                *left -= take as u64;
                if *left == 0 {
                    self.state = ChunkState::DataEnd;
                }
                Ok(Piece::Data(take))
            }
            ChunkState::DataEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    self.state = ChunkState::Size;
                    Ok(Piece::Framing(2))
                }
                [] | [b'\r'] => Ok(Piece::More),
                _ => Err(BadChunk("a chunk is longer than its size")),
            },
            ChunkState::Trailer => self.trailer(bytes),
        }
    }

    fn size(&mut self, bytes: &[u8]) -> Result<Piece, BadChunk> {
        let Some(end) = memchr::memchr(b'\n', &bytes[..bytes.len().min(SIZE_LINE)]) else {
            if bytes.len() >= SIZE_LINE {
                return Err(BadChunk("a chunk's size line is too long"));
            }
            // Told before the line ends, so that a broken one is not waited for.
            let digits = bytes
                .iter()
                .take_while(|byte| byte.is_ascii_hexdigit())
                .count();
            return match bytes.get(digits) {
                None if digits <= 16 => Ok(Piece::More),
                Some(b';' | b'\r') if (1..=16).contains(&digits) => Ok(Piece::More),
                _ => Err(BadChunk("a chunk's size is no number")),
            };
        };
        let Some((b'\r', line)) = bytes[..end].split_last() else {
            return Err(BadChunk("a chunk's size line ends with LF alone"));
        };
        let digits = line
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let (number, rest) = line.split_at(digits);
        if !(1..=16).contains(&digits) {
            return Err(BadChunk("a chunk's size is no number"));
        }
        let size = number
            .iter()
            .filter_map(|digit| char::from(*digit).to_digit(16))
            .fold(0_u64, |size, digit| size << 4 | u64::from(digit));
        let extended = match rest.first() {
            // Zeros before a number are one more spelling of it.
            None => number[0] == b'0' && digits > 1,
            Some(b';')
                if !rest
                    .iter()
                    .any(|byte| *byte < b' ' && *byte != b'\t' || *byte == 127) =>
            {
                true
            }
            Some(_) => {
                return Err(BadChunk(
                    "a chunk's size is followed by what is no extension",
                ));
            }
        };
        self.state = if size == 0 {
            ChunkState::Trailer
        } else {
            ChunkState::Data(size)
        };
        Ok(if extended {
            Piece::Extended(end + 1, size)
        } else {
            Piece::Framing(end + 1)
        })
    }

    fn trailer(&mut self, bytes: &[u8]) -> Result<Piece, BadChunk> {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            // The empty line at the end is no trailer, wherever it is cut.
            return if bytes != b"\r" && self.trailers + bytes.len() > TRAILERS {
                Err(BadChunk("the trailers are too long"))
            } else {
                Ok(Piece::More)
            };
        };
        let Some((b'\r', line)) = bytes[..end].split_last() else {
            return Err(BadChunk("a trailer line ends with LF alone"));
        };
        if line.is_empty() {
            return Ok(Piece::End(end + 1));
        }
        self.trailers += end + 1;
        if self.trailers > TRAILERS {
            return Err(BadChunk("the trailers are too long"));
        }
        let colon = memchr::memchr(b':', line).filter(|at| *at > 0);
        let sound = colon.is_some_and(|at| {
            let value = |byte: &u8| *byte >= b' ' && *byte != 127 || *byte == b'\t';
            line[..at].iter().all(is_token) && line[at + 1..].iter().all(value)
        });
        if sound {
            Ok(Piece::Trailer(end + 1))
        } else {
            Err(BadChunk("a trailer line is no field"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fields::Field;
    use crate::http::head::{read_request, space};
    use proptest::prelude::*;

    fn said(lines: &str, version: &str) -> Result<Framing, BadFraming> {
        let text = format!("POST / HTTP/{version}\r\n{lines}\r\n");
        let mut space = space();
        let head = read_request(text.as_bytes(), &mut space).unwrap();
        let mut said = Said::default();
        for line in head.lines.iter() {
            match line.field {
                Field::ContentLength => said.take_length(line.value)?,
                Field::TransferEncoding => said.take_coding(line.value, head.old)?,
                _ => {}
            }
        }
        Ok(said.of_request())
    }

    #[test]
    fn a_body_is_framed_in_one_way() {
        for (lines, framing) in [
            ("", Framing::None),
            ("Content-Length: 0\r\n", Framing::None),
            ("Content-Length: 003\r\n", Framing::Length(3)),
            ("Content-Length:\t5 \r\n", Framing::Length(5)),
            ("Transfer-Encoding: Chunked\r\n", Framing::Chunked),
            (
                "TE: trailers\r\nTransfer-Encoding:\tchunked\r\n",
                Framing::Chunked,
            ),
            ("Transfer_Encoding: chunked\r\n", Framing::None),
        ] {
            assert_eq!(said(lines, "1.1"), Ok(framing), "{lines:?}");
        }
    }

    #[test]
    fn two_readings_of_a_body_are_refused() {
        for lines in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: ,chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: chunked, gzip\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding: \u{a0}chunked\r\n",
            "Transfer-Encoding:\r\n",
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "Content-Length: 3, 3\r\n",
            "Content-Length: +3\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 0x3\r\n",
            "Content-Length: 1_0\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
        ] {
            assert!(
                matches!(said(lines, "1.1"), Err(BadFraming::Ambiguous(_))),
                "{lines:?}"
            );
        }
        for lines in [
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
        ] {
            assert_eq!(said(lines, "1.1"), Err(BadFraming::Coding), "{lines:?}");
        }
        assert!(said("Transfer-Encoding: chunked\r\n", "1.0").is_err());
    }

    fn pieces(mut bytes: &[u8]) -> Result<Vec<Piece>, BadChunk> {
        let mut chunks = Chunks::default();
        let mut found = Vec::new();
        loop {
            let piece = chunks.next(bytes)?;
            let length = match piece {
                Piece::Framing(length)
                | Piece::Data(length)
                | Piece::Extended(length, _)
                | Piece::Trailer(length) => length,
                Piece::End(_) | Piece::More => {
                    found.push(piece);
                    return Ok(found);
                }
            };
            bytes = &bytes[length..];
            found.push(piece);
        }
    }

    #[test]
    fn chunks_are_taken_apart() {
        assert_eq!(
            pieces(b"3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nGET /"),
            Ok(vec![
                Piece::Framing(3),
                Piece::Data(3),
                Piece::Framing(2),
                Piece::Extended(9, 10),
                Piece::Data(10),
                Piece::Framing(2),
                Piece::Framing(3),
                Piece::Trailer(10),
                Piece::End(2),
            ])
        );
        for cut in [
            "",
            "3",
            "3\r",
            "3;x",
            "ffff",
            "3\r\nab",
            "3\r\nabc\r",
            "0\r\n",
            "0\r\n\r",
        ] {
            assert_eq!(
                pieces(cut.as_bytes()).unwrap().last(),
                Some(&Piece::More),
                "{cut:?}"
            );
        }
    }

    #[test]
    fn broken_chunks_are_refused() {
        for text in [
            "0x3\r\nabc",
            "-1\r\n",
            "3_\r\nabc",
            " 3\r\nabc",
            "3 \r\nabc",
            "\r\n",
            ";x\r\n",
            "10000000000000000\r\n",
            "3\nabc",
            "3;a\nb\r\nabc",
            "3;a\rb\r\nabc",
            "3\r\nabcd\r\n",
            "3\r\nabc\n",
            "0\r\nX\r\n\r\n",
            "0\r\n: x\r\n\r\n",
            "0\r\nX: a\n\r\n",
            "0\r\n X: a\r\n\r\n",
            "0\r\nX: a\0\r\n\r\n",
        ] {
            assert!(pieces(text.as_bytes()).is_err(), "{text:?}");
        }
        let long = format!("3;{}\r\n", "x".repeat(SIZE_LINE));
        assert!(pieces(long.as_bytes()).is_err());
        let trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(TRAILERS / 6 + 1));
        assert!(pieces(trailers.as_bytes()).is_err());
    }

    #[test]
    fn numbers_are_written() {
        for number in [0, 7, 10, 12345, u64::MAX] {
            assert_eq!(itoa(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_chunks_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = pieces(&bytes);
        }

        #[test]
        fn no_piece_is_longer_than_what_is_there(text in "[0-9a-f;\\r\\nx: ]{0,60}") {
            if let Ok(pieces) = pieces(text.as_bytes()) {
                let sum: usize = pieces.iter().map(|piece| match piece {
                    Piece::Framing(n) | Piece::Data(n) | Piece::Extended(n, _) | Piece::Trailer(n) | Piece::End(n) => *n,
                    Piece::More => 0,
                }).sum();
                prop_assert!(sum <= text.len());
            }
        }
    }
}
