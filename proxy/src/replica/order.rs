//! What a connection may be told while it rests or runs something. Pure.

/// What a session is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Order {
    /// Its statement takes too long.
    StopSlow = 1,
    /// Somebody wants its statement stopped.
    StopAsked = 2,
    /// It may not be here any more.
    EndRevoked = 3,
    /// It rested for too long.
    EndIdle = 4,
    /// Its user ended it from another connection.
    EndAsked = 5,
    /// The gateway ends.
    EndAll = 6,
    /// It rests, holds something, and others wait for its account.
    EndWanted = 7,
}

impl Order {
    pub(super) fn from(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::StopSlow,
            2 => Self::StopAsked,
            3 => Self::EndRevoked,
            4 => Self::EndIdle,
            5 => Self::EndAsked,
            6 => Self::EndAll,
            7 => Self::EndWanted,
            _ => return None,
        })
    }

    /// Whether the whole connection ends.
    pub(crate) fn ends(self) -> bool {
        matches!(
            self,
            Self::EndRevoked | Self::EndIdle | Self::EndAsked | Self::EndAll | Self::EndWanted
        )
    }
}
