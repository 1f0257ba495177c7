//! Websocket frames: the walker sees data where a parser of the whole stream sees it.

use super::cuts::{cuts, pieces};
use crate::http::parsers::Frames;

/// A frame of a stream, as far as it is there.
struct Frame {
    begin: usize,
    end: usize,
    data: bool,
}

/// All frames of a stream (RFC 6455, section 5.2).
fn parse(bytes: &[u8]) -> Vec<Frame> {
    let mut found = Vec::new();
    let mut begin = 0;
    while let Some(first) = bytes.get(begin) {
        let end = length(&bytes[begin..]).map_or(bytes.len(), |length| {
            usize::try_from(begin as u128 + length).map_or(bytes.len(), |end| end.min(bytes.len()))
        });
        found.push(Frame {
            begin,
            end,
            data: matches!(first & 0x0f, 0..=7),
        });
        begin = end;
    }
    found
}

/// The length of the frame at the beginning, when its header is there.
fn length(frame: &[u8]) -> Option<u128> {
    let second = *frame.get(1)?;
    let (header, payload) = match second & 0x7f {
        126 => (4, frame.get(2..4)?),
        127 => (10, frame.get(2..10)?),
        _ => (2, &[second & 0x7f][..]),
    };
    let payload = payload
        .iter()
        .fold(0, |number: u128, byte| number * 256 + u128::from(*byte));
    let mask = if second >= 0x80 { 4 } else { 0 };
    // A mask that is not there yet is to come, as its payload is.
    Some(header + mask + payload)
}

/// What one side of a websocket sends.
///
/// # Panics
/// When a property is broken.
pub fn frames(bytes: &[u8]) {
    let wanted = parse(bytes);
    for ends in cuts(bytes) {
        let mut frames = Frames::default();
        let mut at = 0;
        for piece in pieces(bytes, &ends) {
            let end = at + piece.len();
            let data = wanted
                .iter()
                .any(|frame| frame.data && frame.begin < end && frame.end > at);
            assert_eq!(frames.saw_data(piece), data, "bytes {at} to {end}");
            at = end;
        }
    }
}
