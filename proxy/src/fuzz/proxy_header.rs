//! PROXY headers: whoever they name is whom they say, and not a byte behind them is taken.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::io::{AsyncRead, ReadBuf};

use super::cuts::cuts;
use crate::listen::proxy_protocol::read;

/// A stream that comes in pieces, each of which is there at once.
struct Pieces<'b> {
    bytes: &'b [u8],
    ends: &'b [usize],
    at: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let at = self.at;
        let end = self.ends.iter().find(|end| **end > at).copied();
        let end = end.unwrap_or(at).min(at + space.remaining());
        space.put_slice(&self.bytes[at..end]);
        self.at = end;
        Poll::Ready(Ok(()))
    }
}

/// What the header comes to, and how much was read.
fn read_cut(bytes: &[u8], ends: &[usize]) -> (Option<Option<SocketAddr>>, usize) {
    let mut stream = Pieces { bytes, ends, at: 0 };
    let peer = read(&mut stream).now_or_never();
    let peer = peer.expect("what is there is not waited for").ok();
    (peer, stream.at)
}

/// What a load balancer sends first.
///
/// # Panics
/// When a property is broken.
pub fn proxy_header(bytes: &[u8]) {
    let found = read_cut(bytes, &[bytes.len()]);
    for ends in cuts(bytes) {
        assert_eq!(read_cut(bytes, &ends), found, "cut at {ends:?}");
    }
    let (told, used) = found;
    if let Some(rest) = bytes.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n") {
        let wanted = version_2(rest);
        assert_eq!(told, wanted.map(|(peer, _)| peer));
        assert!(wanted.is_none_or(|(_, length)| used == length));
    } else if let Some(peer) = told {
        check_version_1(&bytes[..used], peer);
    } else {
        // Of the first version only what is plain enough is held against the refusal.
        let line = bytes.split_inclusive(|byte| *byte == b'\n').next();
        let line = line.unwrap_or_default();
        assert!(line.len() > 107 || line != b"PROXY UNKNOWN\r\n");
        assert!(line.len() > 107 || !is_plain(line), "it is a header");
    }
    if told.is_some() {
        let (header, behind) = bytes.split_at(used);
        assert_eq!(
            read_cut(header, &[used]),
            found,
            "what follows decides: {behind:?}"
        );
    }
}

/// Whether a line is a header of two IPv4 addresses in their one spelling.
fn is_plain(line: &[u8]) -> bool {
    let words = || {
        let text = std::str::from_utf8(line).ok()?;
        let words: Vec<&str> = text.strip_suffix("\r\n")?.split(' ').collect();
        let [_, _, source, destination, from, to] = words[..] else {
            return None;
        };
        let source: Ipv4Addr = source.parse().ok()?;
        let destination: Ipv4Addr = destination.parse().ok()?;
        let (from, to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
        let again = format!("PROXY TCP4 {source} {destination} {from} {to}\r\n");
        Some(again.as_bytes() == line)
    };
    words().unwrap_or_default()
}

fn check_version_1(line: &[u8], peer: Option<SocketAddr>) {
    assert!(line.len() <= 107);
    let text = std::str::from_utf8(line).expect("it is text");
    let text = text.strip_suffix("\r\n").expect("it is a line");
    assert!(!text.contains('\n'));
    let words: Vec<&str> = text.split(' ').collect();
    assert_eq!(words[0], "PROXY");
    let Some(peer) = peer else {
        assert_eq!(words[1], "UNKNOWN");
        return;
    };
    assert_eq!(words.len(), 6, "{text}");
    let family = if peer.is_ipv4() { "TCP4" } else { "TCP6" };
    assert_eq!(words[1], family);
    assert_eq!(words[4], peer.port().to_string());
    let port: u16 = words[5].parse().expect("it is a port");
    assert_eq!(words[5], port.to_string());
    match peer {
        SocketAddr::V4(peer) => assert_eq!(words[2], peer.ip().to_string()),
        SocketAddr::V6(peer) => assert_eq!(groups(words[2]), Some(*peer.ip()), "{text}"),
    }
}

/// An IPv6 address in groups, in any case and with one gap.
fn groups(text: &str) -> Option<Ipv6Addr> {
    // The last two groups may be written as an IPv4 address.
    let text = match text.rsplit_once(':') {
        Some((before, last)) if last.contains('.') => {
            let bytes: Vec<u8> = last
                .split('.')
                .filter_map(|part| part.parse().ok())
                .collect();
            let [a, b, c, d] = bytes[..] else { return None };
            &format!("{before}:{a:02x}{b:02x}:{c:02x}{d:02x}")
        }
        _ => text,
    };
    let read = |side: &str| -> Option<Vec<u16>> {
        if side.is_empty() {
            return Some(Vec::new());
        }
        let group = |group: &str| u16::from_str_radix(group, 16).ok();
        side.split(':').map(group).collect()
    };
    let mut all = match text.split_once("::") {
        None => read(text)?,
        Some((front, back)) => {
            let (mut front, back) = (read(front)?, read(back)?);
            let gap = 8_usize.checked_sub(front.len() + back.len())?;
            front.extend(vec![0; gap]);
            front.extend(back);
            front
        }
    };
    let last = all.pop()?;
    let [a, b, c, d, e, f, g] = all[..] else {
        return None;
    };
    Some(Ipv6Addr::new(a, b, c, d, e, f, g, last))
}

/// Whom a header of the second version names, and its length; without its signature. `None` when it is none, or not whole.
fn version_2(rest: &[u8]) -> Option<(Option<SocketAddr>, usize)> {
    let (head, body) = rest.split_at_checked(4)?;
    let length = usize::from(head[2]) * 256 + usize::from(head[3]);
    let body = body.get(..length).filter(|_| length <= 4096)?;
    let number = |at: usize| u16::from(body[at]) * 256 + u16::from(body[at + 1]);
    let peer = match (head[0], head[1]) {
        (0x20, _) | (0x21, 0x00 | 0x31 | 0x32) => None,
        (0x21, 0x11) if length >= 12 => {
            let address = Ipv4Addr::new(body[0], body[1], body[2], body[3]);
            Some(SocketAddr::from((address, number(8))))
        }
        (0x21, 0x21) if length >= 36 => {
            let groups: Vec<u16> = (0..16).step_by(2).map(number).collect();
            let groups: [u16; 8] = groups.try_into().ok()?;
            Some(SocketAddr::from((Ipv6Addr::from(groups), number(32))))
        }
        _ => return None,
    };
    Some((peer, 12 + 4 + length))
}
