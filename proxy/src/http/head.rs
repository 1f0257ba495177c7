//! Heads of messages, as bytes: where one ends, and what its lines are.
//!
//! A strict scan goes first, because the parser behind it (`httparse`) forgives what two programs can read differently: a bare
//! LF, empty lines without number, versions. What passes here may be copied to the next hop byte for byte.
//! Follows RFC 9112, sections 2 to 5, without its leniency.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::fields::{Field, tell};

/// Field lines of a head.
const LINES: usize = 256;
/// The longest request target.
const TARGET: usize = 32 * 1024;
/// Empty lines that may stand before a request.
const EMPTY_LINES: usize = 2;

/// Why bytes are no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadHead {
    /// Not HTTP, or not only one reading of it.
    #[error("{0}")]
    Malformed(&'static str),
    /// More lines than a head may have.
    #[error("the head has more than 256 lines")]
    TooManyLines,
    /// A target that is too long.
    #[error("the request's target is longer than 32 KiB")]
    LongTarget,
    /// Another version than 1.0 or 1.1.
    #[error("only HTTP/1.0 and HTTP/1.1 are spoken here")]
    Version,
}

/// How far a head was looked through, so that one that comes byte by byte costs no more than one that comes whole.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scan {
    // The beginning of the line that is not whole yet.
    line: usize,
    // Lines that are, without empty ones before the first.
    lines: usize,
    empty: usize,
}

/// Which kind of head is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
}

impl Scan {
    /// The length of the head at the beginning of these bytes; `None` while it is not whole.
    /// The bytes must begin with those of the call before.
    pub(crate) fn end(&mut self, bytes: &[u8], kind: Kind) -> Result<Option<usize>, BadHead> {
        while let Some(found) = memchr::memchr(b'\n', &bytes[self.line..]) {
            let end = self.line + found;
            let line = &bytes[self.line..end];
            let Some((b'\r', line)) = line.split_last() else {
                return Err(BadHead::Malformed("a line ends with LF alone"));
            };
            self.line = end + 1;
            if line.is_empty() {
                if self.lines > 0 {
                    return Ok(Some(end + 1));
                }
                self.empty += 1;
                if self.empty > EMPTY_LINES || kind == Kind::Response {
                    return Err(BadHead::Malformed("empty lines stand before the head"));
                }
                continue;
            }
            if self.lines == 0 && kind == Kind::Request {
                check_version(line)?;
            }
            if self.lines > 0 && matches!(line[0], b' ' | b'\t') {
                return Err(BadHead::Malformed("a line begins with white space"));
            }
            self.lines += 1;
            if self.lines > LINES + 1 {
                return Err(BadHead::TooManyLines);
            }
        }
        // What cannot become a head is told before its end comes.
        if self.lines == 0 && kind == Kind::Request && bytes.len() - self.line > TARGET + 64 {
            return Err(BadHead::LongTarget);
        }
        Ok(None)
    }
}

/// Whether a request line ends with a version we speak; told at once, since old ones have no head to wait for.
fn check_version(line: &[u8]) -> Result<(), BadHead> {
    let mut spaces = memchr::memchr_iter(b' ', line);
    let (_, second) = (spaces.next(), spaces.next());
    if spaces.next().is_some() || line.first() == Some(&b' ') {
        return Err(BadHead::Malformed("the request line has too many spaces"));
    }
    let at = second.map_or(0, |at| at + 1);
    match &line[at..] {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(BadHead::Version)
        }
        _ => Err(BadHead::Malformed("the request line has no version")),
    }
}

/// A method, as far as anything depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Options,
    Connect,
    Trace,
    /// Another known one.
    Other,
}

impl Method {
    /// Whether it may be sent twice without harm (RFC 9110, section 9.2.1).
    pub(crate) fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options)
    }

    fn tell(name: &str) -> Option<Self> {
        Some(match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "OPTIONS" => Method::Options,
            "CONNECT" => Method::Connect,
            "TRACE" => Method::Trace,
            // The registered ones that programs behind a notebook use: HTTP, WebDAV, CalDAV, UPnP.
            "POST" | "PUT" | "PATCH" | "DELETE" | "PROPFIND" | "PROPPATCH" | "MKCOL" | "COPY"
            | "MOVE" | "LOCK" | "UNLOCK" | "SEARCH" | "REPORT" | "MKCALENDAR" | "ACL" | "BIND"
            | "REBIND" | "UNBIND" | "CHECKOUT" | "MERGE" | "MKACTIVITY" | "PURGE" | "LINK"
            | "UNLINK" | "SOURCE" | "NOTIFY" | "SUBSCRIBE" | "UNSUBSCRIBE" | "M-SEARCH"
            | "QUERY" => Method::Other,
            _ => return None,
        })
    }
}

/// A field line of a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'b> {
    /// Which.
    pub(crate) field: Field,
    /// Its name as it came.
    pub(crate) name: &'b [u8],
    /// Its value, without white space around it.
    pub(crate) value: &'b [u8],
    // Where the name begins.
    at: usize,
}

/// Where a parser may put what it finds.
pub(crate) type Space<'b> = [MaybeUninit<httparse::Header<'b>>; LINES];

/// Space for a head.
pub(crate) fn space<'b>() -> Space<'b> {
    [const { MaybeUninit::uninit() }; LINES]
}

/// The lines of a head.
#[derive(Debug)]
pub(crate) struct Lines<'h, 'b> {
    headers: &'h [httparse::Header<'b>],
    bytes: &'b [u8],
}

impl<'h, 'b> Lines<'h, 'b> {
    /// Each in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Line<'b>> + Clone + use<'_, 'h, 'b> {
        let base = self.bytes.as_ptr() as usize;
        self.headers.iter().map(move |header| Line {
            field: tell(header.name.as_bytes()),
            name: header.name.as_bytes(),
            value: header.value,
            at: header.name.as_ptr() as usize - base,
        })
    }

    /// Copies the lines that are kept, in order, in as few pieces as there are.
    pub(crate) fn copy_kept(&self, to: &mut Vec<u8>, mut keep: impl FnMut(&Line<'b>) -> bool) {
        let mut piece: Option<Range<usize>> = None;
        for line in self.iter() {
            let kept = keep(&line);
            match (&piece, kept) {
                (None, true) => piece = Some(line.at..line.at),
                (Some(begun), false) => {
                    to.extend_from_slice(&self.bytes[begun.start..line.at]);
                    piece = None;
                }
                (None, false) | (Some(_), true) => {}
            }
        }
        if let Some(begun) = piece {
            // Without the empty line.
            to.extend_from_slice(&self.bytes[begun.start..self.bytes.len() - 2]);
        }
    }
}

/// A request's head.
#[derive(Debug)]
pub(crate) struct RequestHead<'h, 'b> {
    pub(crate) method: Method,
    pub(crate) method_name: &'b str,
    pub(crate) target: &'b str,
    /// Whether it is HTTP/1.0.
    pub(crate) old: bool,
    pub(crate) lines: Lines<'h, 'b>,
}

/// Reads a request's head; the bytes are those that [`Scan::end`] measured.
pub(crate) fn read_request<'h, 'b>(
    bytes: &'b [u8],
    space: &'h mut Space<'b>,
) -> Result<RequestHead<'h, 'b>, BadHead> {
    let mut parsed = httparse::Request::new(&mut []);
    let status = parsed
        .parse_with_uninit_headers(bytes, space)
        .map_err(bad)?;
    if status != httparse::Status::Complete(bytes.len()) {
        return Err(BadHead::Malformed("the head is not whole"));
    }
    let (Some(name), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(BadHead::Malformed("the request line is not whole"));
    };
    if target.len() > TARGET {
        return Err(BadHead::LongTarget);
    }
    let method = Method::tell(name).ok_or(BadHead::Malformed("the method is not known"))?;
    Ok(RequestHead {
        method,
        method_name: name,
        target,
        old: version == 0,
        lines: Lines {
            headers: parsed.headers,
            bytes,
        },
    })
}

/// A response's head.
#[derive(Debug)]
pub(crate) struct ResponseHead<'h, 'b> {
    pub(crate) status: u16,
    /// The status and its reason, as they came.
    pub(crate) status_text: &'b [u8],
    /// Whether it is HTTP/1.0.
    pub(crate) old: bool,
    pub(crate) lines: Lines<'h, 'b>,
}

/// Reads a response's head; the bytes are those that [`Scan::end`] measured.
pub(crate) fn read_response<'h, 'b>(
    bytes: &'b [u8],
    space: &'h mut Space<'b>,
) -> Result<ResponseHead<'h, 'b>, BadHead> {
    let mut parsed = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, bytes, space)
        .map_err(bad)?;
    if status != httparse::Status::Complete(bytes.len()) {
        return Err(BadHead::Malformed("the head is not whole"));
    }
    let (Some(version), Some(code)) = (parsed.version, parsed.code) else {
        return Err(BadHead::Malformed("the status line is not whole"));
    };
    if !(100..=999).contains(&code) {
        return Err(BadHead::Malformed("the status is no status"));
    }
    let line_end = memchr::memchr(b'\r', bytes).unwrap_or(bytes.len());
    Ok(ResponseHead {
        status: code,
        status_text: &bytes[b"HTTP/1.x ".len()..line_end],
        old: version == 0,
        lines: Lines {
            headers: parsed.headers,
            bytes,
        },
    })
}

fn bad(error: httparse::Error) -> BadHead {
    BadHead::Malformed(match error {
        httparse::Error::HeaderName => "a field's name has characters that no name has",
        httparse::Error::HeaderValue => "a field's value has characters that no value has",
        httparse::Error::NewLine => "a line does not end with CR LF",
        httparse::Error::Status => "the status line is no status line",
        httparse::Error::Token => "the request line is no request line",
        httparse::Error::TooManyHeaders => return BadHead::TooManyLines,
        httparse::Error::Version => return BadHead::Version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end(text: &str) -> Result<Option<usize>, BadHead> {
        Scan::default().end(text.as_bytes(), Kind::Request)
    }

    fn request(text: &str) -> Result<String, BadHead> {
        let length = end(text)?.ok_or(BadHead::Malformed("not whole"))?;
        let mut space = space();
        let head = read_request(&text.as_bytes()[..length], &mut space)?;
        let names: Vec<_> = head.lines.iter().map(|line| line.value).collect();
        Ok(format!(
            "{:?} {} {} {}",
            head.method,
            head.target,
            head.old,
            String::from_utf8_lossy(&names.join(&b'|'))
        ))
    }

    #[test]
    fn a_head_is_read() {
        assert_eq!(
            request("\r\n\r\nGET /x?y HTTP/1.1\r\nA:  b \r\nC:\td\r\n\r\nrest").unwrap(),
            "Get /x?y false b|d"
        );
        assert_eq!(request("POST * HTTP/1.0\r\n\r\n").unwrap(), "Other * true ");
        assert_eq!(end("GET / HTTP/1.1\r\nA: b\r\n\r"), Ok(None));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for text in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "\nGET / HTTP/1.1\r\n\r\n",
            "\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\n A: b\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\n: b\r\n\r\n",
            "GET / HTTP/1.1\r\nA\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n",
            "GET / HTTP/1.1\r\nA\u{1}: b\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET /  HTTP/1.1\r\n\r\n",
            "GET\t/\tHTTP/1.1\r\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
            "get / HTTP/1.1\r\n\r\n",
            "BREW / HTTP/1.1\r\n\r\n",
            "GET /\r\n",
            "GET / http/1.1\r\n\r\n",
        ] {
            assert!(
                matches!(request(text), Err(BadHead::Malformed(_))),
                "{text:?}"
            );
        }
        for text in ["GET / HTTP/1.2\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            assert_eq!(request(text), Err(BadHead::Version), "{text:?}");
        }
    }

    #[test]
    fn kept_lines_are_copied_as_they_came() {
        let text = b"GET / HTTP/1.1\r\nA: 1\r\nB:2  \r\nA: 3\r\nC: 4\r\nD:\r\n\r\n";
        let mut space = space();
        let head = read_request(text, &mut space).unwrap();
        let kept = |names: &[u8]| {
            let mut copy = Vec::new();
            head.lines
                .copy_kept(&mut copy, |line| names.contains(&line.name[0]));
            String::from_utf8(copy).unwrap()
        };
        assert_eq!(kept(b"ABCD"), "A: 1\r\nB:2  \r\nA: 3\r\nC: 4\r\nD:\r\n");
        assert_eq!(kept(b"AD"), "A: 1\r\nA: 3\r\nD:\r\n");
        assert_eq!(kept(b"B"), "B:2  \r\n");
        assert_eq!(kept(b""), "");
    }

    #[test]
    fn a_response_keeps_its_reason() {
        let text = b"HTTP/1.1 404 Nicht da\r\nA: 1\r\n\r\n";
        let mut space = space();
        let head = read_response(text, &mut space).unwrap();
        assert_eq!(
            (head.status, head.status_text),
            (404, b"404 Nicht da".as_slice())
        );
        for text in [
            "HTTP/1.1 99 x\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "ICY 200\r\n\r\n",
        ] {
            assert!(
                read_response(text.as_bytes(), &mut super::space()).is_err(),
                "{text:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for kind in [Kind::Request, Kind::Response] {
                if let Ok(Some(length)) = Scan::default().end(&bytes, kind) {
                    let _ = read_request(&bytes[..length], &mut space());
                    let _ = read_response(&bytes[..length], &mut space());
                }
            }
        }

        #[test]
        fn it_does_not_matter_how_a_head_is_cut(cut in 0..60_usize) {
            let text = b"\r\nGET /x HTTP/1.1\r\nHost: hub.test\r\nAccept: text/html\r\n\r\nmore";
            let mut scan = Scan::default();
            let first = scan.end(&text[..cut], Kind::Request).unwrap();
            let whole = first.or(scan.end(text, Kind::Request).unwrap());
            prop_assert_eq!(whole, Some(text.len() - 4));
        }
    }
}
