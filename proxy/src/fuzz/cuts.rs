//! How a stream of bytes may come: at once, byte by byte, or in pieces that chance makes.
//!
//! The chance is a function of the bytes, so that an input that failed fails again.

/// Longer inputs are not tried byte by byte.
const SINGLE: usize = 2048;

/// Numbers without pattern; the same for the same beginning.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    /// Begins with a number.
    pub(super) fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Chance(seed | 1)
    }

    /// Begins with bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        Chance::new(hash)
    }

    /// A number below another, which is not zero.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

/// Ways to cut the bytes: for each, where the pieces end.
pub(super) fn cuts(bytes: &[u8]) -> Vec<Vec<usize>> {
    let length = bytes.len();
    let mut chance = Chance::of(bytes);
    let mut ways = vec![vec![length]];
    if (2..=SINGLE).contains(&length) {
        ways.push((1..=length).collect());
    }
    if length > 2 {
        ways.push(vec![length - 1, length]);
        for _ in 0..3 {
            ways.push(vec![1 + chance.below(length - 1), length]);
        }
        ways.push(some(length, &mut chance));
    }
    ways
}

/// One way to cut so many bytes into a few pieces.
pub(super) fn some(length: usize, chance: &mut Chance) -> Vec<usize> {
    let mut ends: Vec<usize> = (0..chance.below(8))
        .map(|_| 1 + chance.below(length.max(1)))
        .filter(|end| *end < length)
        .collect();
    ends.push(length);
    ends.sort_unstable();
    ends.dedup();
    ends
}

/// The pieces that end there.
pub(super) fn pieces<'b>(bytes: &'b [u8], ends: &[usize]) -> Vec<&'b [u8]> {
    let mut begin = 0;
    let piece = |end: &usize| {
        let piece = &bytes[begin..*end];
        begin = *end;
        piece
    };
    ends.iter().map(piece).collect()
}
