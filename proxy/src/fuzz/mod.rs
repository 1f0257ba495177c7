//! A door for fuzzers: one function for each parser of strangers' bytes, and what must hold whatever the bytes are.
//!
//! A function panics where its property is broken. The proxy itself never comes here, so nothing of this is in its program.
//! `tests/fuzz/` feeds the functions for hours; the tests below feed them, in a second, what was worth keeping.
//! **Invariant:** where a parser is held against a second one, the second shares no code with it.

mod chunks;
mod cookies;
mod cuts;
mod frames;
mod lines;
mod mysql;
mod passage;
mod path;
mod proxy_header;
mod request_head;
mod response_head;
#[cfg(test)]
mod tests;

pub use self::chunks::chunks;
pub use self::cookies::cookies;
pub use self::frames::frames;
pub use self::mysql::{mysql_answer, mysql_handshake, sql};
pub use self::passage::passage;
pub use self::path::path;
pub use self::proxy_header::proxy_header;
pub use self::request_head::request_head;
pub use self::response_head::response_head;
