//! Bodies on their way through real sockets: what arrives is what was sent, and what is broken never arrives whole.

use std::cell::LazyCell;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use super::chunks::{Decoded, decode, is_spelled_plainly};
use super::cuts::{Chance, pieces, some};
use crate::http::Socket;
use crate::http::parsers::{Broken, Framing, Inbox, Passage};

/// More bytes than this only cost time.
const LONGEST: usize = 16 * 1024;
/// What may pass as a trailer by the settings; of these two only one ever does.
const TRAILERS: [&str; 2] = [TRAILER, "content-length"];
const TRAILER: &str = "x-sum";

thread_local! {
    static RUNTIME: LazyCell<io::Result<Runtime>> =
        const { LazyCell::new(|| Builder::new_current_thread().enable_io().build()) };
}

/// What came of a body.
#[derive(Debug)]
struct Carried {
    arrived: Vec<u8>,
    left: Vec<u8>,
    result: Result<(), Broken>,
}

/// A body, and what follows it.
///
/// # Panics
/// When a property is broken.
pub fn passage(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let mut chance = Chance::of(bytes);
    for ends in [vec![bytes.len()], some(bytes.len(), &mut chance)] {
        let carry = |comes, goes| {
            RUNTIME.with(|runtime| {
                let runtime = runtime.as_ref().expect("there is a runtime");
                runtime
                    .block_on(carry(&pieces(bytes, &ends), comes, goes))
                    .expect("sockets of our own work")
            })
        };
        check_chunks(bytes, &carry(Framing::Chunked, Framing::Chunked));
        check_decoded(bytes, &carry(Framing::Chunked, Framing::UntilClose));
        check_encoded(bytes, &carry(Framing::UntilClose, Framing::Chunked));
        let length = chance.below(bytes.len() + 3) as u64;
        let sized = Framing::Length(length);
        check_sized(bytes, length, &carry(sized, sized));
    }
}

fn check_chunks(bytes: &[u8], carried: &Carried) {
    let again = decode(&carried.arrived);
    match decode(bytes) {
        Decoded::Whole {
            data,
            mut trailers,
            length,
        } => {
            assert!(carried.result.is_ok(), "{carried:?}");
            trailers.retain(|line| {
                let name = line.split(|byte| *byte == b':').next();
                name.is_some_and(|name| name.eq_ignore_ascii_case(TRAILER.as_bytes()))
            });
            let wanted = Decoded::Whole {
                data,
                trailers,
                length: carried.arrived.len(),
            };
            assert_eq!(again, wanted, "{carried:?}");
            assert!(is_spelled_plainly(&carried.arrived), "{carried:?}");
            assert_eq!(carried.left, bytes[length..], "{carried:?}");
        }
        Decoded::Part(_) => {
            assert!(carried.result.is_err(), "{carried:?}");
            assert!(!matches!(again, Decoded::Whole { .. }), "{carried:?}");
        }
        Decoded::Bad => {
            assert!(
                matches!(carried.result, Err(Broken::Chunk(_))),
                "{carried:?}"
            );
            assert!(!matches!(again, Decoded::Whole { .. }), "{carried:?}");
        }
    }
}

fn check_decoded(bytes: &[u8], carried: &Carried) {
    match decode(bytes) {
        Decoded::Whole { data, length, .. } => {
            assert!(carried.result.is_ok(), "{carried:?}");
            assert_eq!(carried.arrived, data, "{carried:?}");
            assert_eq!(carried.left, bytes[length..], "{carried:?}");
        }
        Decoded::Part(data) => {
            assert!(carried.result.is_err(), "{carried:?}");
            assert!(data.starts_with(&carried.arrived), "{carried:?}");
        }
        Decoded::Bad => assert!(carried.result.is_err(), "{carried:?}"),
    }
}

fn check_encoded(bytes: &[u8], carried: &Carried) {
    assert!(carried.result.is_ok(), "{carried:?}");
    let wanted = Decoded::Whole {
        data: bytes.to_vec(),
        trailers: Vec::new(),
        length: carried.arrived.len(),
    };
    assert_eq!(decode(&carried.arrived), wanted, "{carried:?}");
}

fn check_sized(bytes: &[u8], length: u64, carried: &Carried) {
    let whole = length <= bytes.len() as u64;
    let end = if whole { length as usize } else { bytes.len() };
    assert_eq!(carried.result.is_ok(), whole, "{carried:?}");
    assert_eq!(carried.arrived, bytes[..end], "{carried:?}");
    if whole {
        assert_eq!(carried.left, bytes[end..], "{carried:?}");
    }
}

/// Carries the pieces, each read on its own; what is left is what was not of the body.
async fn carry(pieces: &[&[u8]], comes: Framing, goes: Framing) -> io::Result<Carried> {
    const HEAD: &[u8] = b"HEAD\r\n\r\n";
    let (mut source, from) = UnixStream::pair()?;
    let (to, mut sink) = UnixStream::pair()?;
    let (mut from, mut to) = (Socket::Unix(from), Socket::Unix(to));
    let trailers = TRAILERS.map(Into::into);
    let mut inbox = Inbox::default();
    let mut passage = Passage::new(HEAD.to_vec(), comes, goes);
    let mut result = None;
    let mut left = Vec::new();
    for piece in pieces {
        if result.is_some() {
            left.extend_from_slice(piece);
            continue;
        }
        source.write_all(piece).await?;
        let before = passage.read;
        let read = before + piece.len() as u64;
        result = poll_fn(|cx| {
            let polled = passage.poll(cx, &mut from, &mut inbox, &mut to, &trailers);
            match polled {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if passage.read >= read => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        if result.is_some() {
            // It may have ended without a look at the last piece.
            let looked = (passage.read - before) as usize;
            left.extend_from_slice(inbox.bytes());
            left.extend_from_slice(&piece[looked..]);
        }
    }
    drop(source);
    let result = match result {
        Some(result) => result,
        None => poll_fn(|cx| passage.poll(cx, &mut from, &mut inbox, &mut to, &trailers)).await,
    };
    drop(to);
    let mut arrived = Vec::new();
    sink.read_to_end(&mut arrived).await?;
    let arrived = arrived.split_off(HEAD.len().min(arrived.len()));
    Ok(Carried {
        arrived,
        left,
        result,
    })
}
