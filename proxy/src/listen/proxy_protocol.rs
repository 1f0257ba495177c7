//! The header by which a load balancer tells who connected to it: versions 1 and 2 of HAProxy's PROXY protocol.
//!
//! Follows <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>. It is asked for from trusted peers only, and must come then.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The first bytes of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with CR LF.
const LINE: usize = 107;
/// The longest header of version 2 that is read: addresses and some extensions.
const LONGEST: usize = 4096;

/// Why a header was not understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadHeader {
    /// The connection broke.
    #[error("the PROXY header did not come")]
    Read(#[from] io::Error),
    /// It is none.
    #[error("the PROXY header makes no sense")]
    Malformed,
}

/// Reads the header, and nothing behind it; `None` when the balancer speaks for itself.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, BadHeader> {
    let mut header = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut header).await?;
    if header == SIGNATURE {
        let mut more = [0; 4];
        stream.read_exact(&mut more).await?;
        let length = usize::from(u16::from_be_bytes([more[2], more[3]]));
        if length > LONGEST {
            return Err(BadHeader::Malformed);
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        return version_2(more[0], more[1], &body).ok_or(BadHeader::Malformed);
    }
    // One byte after the other: what follows the line belongs to somebody else.
    while !header.ends_with(b"\n") {
        if header.len() == LINE || !header.starts_with(b"PROXY ") {
            return Err(BadHeader::Malformed);
        }
        header.push(stream.read_u8().await?);
    }
    version_1(&header).ok_or(BadHeader::Malformed)
}

/// Version 1: a line of text.
pub(crate) fn version_1(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let mut words = line.split(' ');
    if words.next() != Some("PROXY") {
        return None;
    }
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let source: IpAddr = words.next()?.parse().ok()?;
    let destination: IpAddr = words.next()?.parse().ok()?;
    let port = |text: &str| -> Option<u16> {
        let plain = text == "0" || !text.starts_with('0');
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        (plain && digits).then(|| text.parse().ok())?
    };
    let source_port = port(words.next()?)?;
    port(words.next()?)?;
    let fits = match family {
        "TCP4" => source.is_ipv4() && destination.is_ipv4(),
        "TCP6" => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    (fits && words.next().is_none()).then_some(Some(SocketAddr::new(source, source_port)))
}

/// Version 2: what follows the signature.
pub(crate) fn version_2(version: u8, family: u8, body: &[u8]) -> Option<Option<SocketAddr>> {
    match version {
        // The balancer's own, such as a health check.
        0x20 => return Some(None),
        0x21 => {}
        _ => return None,
    }
    match family {
        0x11 => {
            let address: [u8; 4] = body.get(..4)?.try_into().ok()?;
            let port: [u8; 2] = body.get(8..10)?.try_into().ok()?;
            body.get(..12)?;
            let address = IpAddr::V4(Ipv4Addr::from(address));
            Some(Some(SocketAddr::new(address, u16::from_be_bytes(port))))
        }
        0x21 => {
            let address: [u8; 16] = body.get(..16)?.try_into().ok()?;
            let port: [u8; 2] = body.get(32..34)?.try_into().ok()?;
            body.get(..36)?;
            let address = IpAddr::V6(Ipv6Addr::from(address));
            Some(Some(SocketAddr::new(address, u16::from_be_bytes(port))))
        }
        // Unspecified, or a socket file.
        0x00 | 0x31 | 0x32 => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    async fn parsed(bytes: &[u8]) -> Option<Option<String>> {
        let mut rest = bytes;
        let peer = read(&mut rest).await.ok()?;
        assert_eq!(rest, b"GET /");
        Some(peer.map(|peer| peer.to_string()))
    }

    fn second(version: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([version, family]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes.extend(b"GET /");
        bytes
    }

    #[tokio::test]
    async fn both_versions_are_read_and_nothing_behind_them() {
        for (text, peer) in [
            (
                "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET /",
                Some("192.0.2.1:56324"),
            ),
            (
                "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\nGET /",
                Some("[2001:db8::1]:1"),
            ),
            ("PROXY UNKNOWN\r\nGET /", None),
            ("PROXY UNKNOWN ffff::1 ::1 1 2\r\nGET /", None),
        ] {
            assert_eq!(
                parsed(text.as_bytes()).await,
                Some(peer.map(str::to_owned)),
                "{text}"
            );
        }
        let four = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 187];
        assert_eq!(
            parsed(&second(0x21, 0x11, &four)).await,
            Some(Some("192.0.2.1:56324".into()))
        );
        let mut extended = four.to_vec();
        extended.extend([4, 0, 1, 0]);
        assert!(parsed(&second(0x21, 0x11, &extended)).await.is_some());
        let six = [[0x20_u8; 32].as_slice(), &[0, 1, 0, 2]].concat();
        assert!(parsed(&second(0x21, 0x21, &six)).await.unwrap().is_some());
        assert_eq!(parsed(&second(0x20, 0, &[])).await, Some(None));
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused() {
        let long = format!("PROXY {}\r\n", "x".repeat(200));
        for text in [
            "GET / HTTP/1.1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 01 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
            "proxy UNKNOWN\r\n",
            &long,
        ] {
            assert!(read(&mut text.as_bytes()).await.is_err(), "{text}");
        }
        for bad in [
            second(0x11, 0x11, &[0; 12]),
            second(0x21, 0x11, &[0; 11]),
            second(0x21, 0x55, &[0; 40]),
        ] {
            assert!(read(&mut bad.as_slice()).await.is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(version in any::<u8>(), family in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = version_1(&body);
            let _ = version_2(version, family, &body);
        }
    }
}
