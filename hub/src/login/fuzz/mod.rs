//! A door for fuzzers: one function for each parser of what strangers bring to a sign-in, and what must hold whatever the bytes are.
//!
//! A function panics where its property is broken. The hub itself never comes here, so nothing of this is in its program.
//! `tests/fuzz/hub/` feeds the functions for hours; the tests below feed them, in a second, what was worth keeping.
//! **Invariant:** what a parser found is looked for once more by code that the parser does not use.

mod callback;
mod profile;
mod statement;
#[cfg(test)]
mod tests;

pub use self::callback::callback;
pub use self::profile::profile;
pub use self::statement::statement;
