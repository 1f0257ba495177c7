//! Websocket frame headers in a stream of bytes (RFC 6455, section 5.2): only to tell data from control.
//!
//! Payloads are skipped, never looked at. The stream may be cut anywhere.

/// The longest header: two bytes, eight of length, four of mask.
const LONGEST: usize = 14;

/// How far one direction of a websocket was read.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    header: [u8; LONGEST],
    have: u8,
    payload: u64,
}

impl Frames {
    /// Reads on; tells whether a byte of a data frame was among these, of its header or its payload.
    pub(crate) fn saw_data(&mut self, mut bytes: &[u8]) -> bool {
        let mut data = false;
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skip = usize::try_from(self.payload)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                self.payload -= skip as u64;
                bytes = &bytes[skip..];
                data |= self.is_data();
                if self.payload == 0 {
                    self.have = 0;
                }
                continue;
            }
            self.header[usize::from(self.have)] = bytes[0];
            self.have += 1;
            bytes = &bytes[1..];
            data |= self.is_data();
            if let Some(payload) = self.payload_length() {
                self.payload = payload;
                if payload == 0 {
                    self.have = 0;
                }
            }
        }
        data
    }

    /// Opcodes below 8 carry data.
    fn is_data(&self) -> bool {
        self.header[0] & 0x08 == 0
    }

    /// The payload's length, once the header is whole.
    fn payload_length(&self) -> Option<u64> {
        let have = usize::from(self.have);
        if have < 2 {
            return None;
        }
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        let (wide, length) = match self.header[1] & 0x7f {
            126 => (
                2,
                u64::from(u16::from_be_bytes([self.header[2], self.header[3]])),
            ),
            127 => {
                let mut number = [0; 8];
                number.copy_from_slice(&self.header[2..10]);
                (8, u64::from_be_bytes(number))
            }
            short => (0, u64::from(short)),
        };
        (have == 2 + wide + mask).then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(opcode: u8, length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match length {
            0..=125 => frame.push(mask | length as u8),
            126..=65535 => {
                frame.push(mask | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend([1, 2, 3, 4]);
        }
        frame.extend(vec![0x8a; length]);
        frame
    }

    #[test]
    fn data_is_told_from_control() {
        for (opcode, data) in [
            (0, true),
            (1, true),
            (2, true),
            (8, false),
            (9, false),
            (10, false),
        ] {
            for length in [0, 5, 125] {
                assert_eq!(
                    Frames::default().saw_data(&frame(opcode, length, true)),
                    data
                );
            }
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_stream_is_cut(
            kinds in proptest::collection::vec((0_u8..11, prop_oneof![0_usize..130, 65500_usize..65600], any::<bool>()), 1..6),
            cut in 1_usize..70000,
        ) {
            let mut frames = Frames::default();
            let stream: Vec<u8> = kinds.iter().flat_map(|(opcode, length, masked)| frame(*opcode, *length, *masked)).collect();
            let data = stream.chunks(cut).fold(false, |data, piece| frames.saw_data(piece) | data);
            prop_assert_eq!(data, kinds.iter().any(|(opcode, ..)| opcode & 8 == 0));
            // In step again: a control frame is seen as one.
            prop_assert!(!frames.saw_data(&frame(9, 3, true)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            Frames::default().saw_data(&bytes);
        }
    }
}
