//! Ways to sign in. Only `local` now: names and passwords that Holt keeps itself.

pub mod local;
pub mod password;
