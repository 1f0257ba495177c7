//! The MySQL protocol and SQL: answers end where they end however they are cut, handshakes mean one thing, and what is refused in a
//! statement is refused behind any comment.

use crate::replica::answer::{Ends, Step, Walk, Wanted};
use crate::replica::hello::{self, Answer};
use crate::replica::lexer::{Backslash, Token, Tokens};
use crate::replica::packet::{self, SqlError};
use crate::replica::statement::{self, Kind, Sent};

use super::cuts::cuts;

/// How an answer ends when its bytes come up to each of these places: where, and how.
fn walked(
    wanted: Wanted,
    ends: Ends,
    bytes: &[u8],
    cut: &[usize],
) -> (usize, Option<Result<(), &'static str>>) {
    let mut walk = Walk::new(wanted, ends, 0);
    let mut bytes = bytes.to_vec();
    let mut used = 0;
    for &end in cut {
        match walk.step(&mut bytes[used..end]) {
            Step::More(count) => used += count,
            Step::End(count) => return (used + count, Some(Ok(()))),
            Step::Error(before, length) => {
                let error =
                    SqlError::read(&bytes[used + before + packet::HEADER..used + before + length]);
                drop(error);
                return (used + before + length, Some(Err("error")));
            }
            Step::Broken(why) => return (0, Some(Err(why))),
        }
        assert!(used <= end, "more was used than was there");
    }
    (used, None)
}

/// What a replica server answers.
///
/// # Panics
/// When a property is broken.
pub fn mysql_answer(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let kinds = [
        Wanted::Results,
        Wanted::Prepared,
        Wanted::Rows,
        Wanted::Definitions,
        Wanted::Word,
        Wanted::Text,
    ];
    let wanted = kinds[usize::from(first & 0x7F) % kinds.len()];
    let ends = if first & 0x80 == 0 {
        Ends::Eof
    } else {
        Ends::Ok
    };
    let whole = walked(wanted, ends, bytes, &[bytes.len()]);
    for cut in cuts(bytes) {
        assert_eq!(walked(wanted, ends, bytes, &cut), whole, "cut at {cut:?}");
    }
    if let (end, Some(_)) = whole
        && end > 0
    {
        // Whatever follows does not change where it ended.
        assert_eq!(walked(wanted, ends, &bytes[..end], &[end]), whole);
    }
}

/// What a client says first, and what a server greets with.
///
/// # Panics
/// When a property is broken.
pub fn mysql_handshake(bytes: &[u8]) {
    if let Some(greeting) = hello::read_greeting(bytes) {
        assert!(greeting.nonce.len() >= 7);
    }
    let _ = hello::read_change_user(bytes, hello::OFFERED);
    let Some(Answer::Hello(told)) = hello::read_answer(bytes) else {
        return;
    };
    assert!(!told.user.contains(&0) && !told.database.contains(&0) && !told.plugin.contains(&0));
    let (Ok(user), Ok(database)) = (
        std::str::from_utf8(told.user),
        std::str::from_utf8(told.database),
    ) else {
        return;
    };
    if told.proof.len() > 250 || told.plugin.is_empty() {
        return;
    }
    // Said in our own words it is the same.
    let plain = told.capabilities
        - mysql_common::constants::CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA;
    let again = hello::answer(
        plain,
        told.collation,
        user,
        told.proof,
        database,
        told.plugin,
    );
    let Some(Answer::Hello(again)) = hello::read_answer(&again) else {
        panic!("it is not understood any more")
    };
    assert_eq!(
        (again.user, again.proof, again.database, again.plugin),
        (told.user, told.proof, told.database, told.plugin)
    );
}

/// A statement.
///
/// # Panics
/// When a property is broken.
pub fn sql(bytes: &[u8]) {
    for backslash in [Backslash::Escapes, Backslash::Plain] {
        let mut tokens = Tokens::new(bytes, backslash);
        let mut count = 0;
        let mut executed = false;
        let mut open = false;
        for token in tokens.by_ref() {
            count += 1;
            executed |= token == Token::Executed;
            open |= token == Token::Open;
        }
        assert!(count <= bytes.len() && tokens.next().is_none());
        let known = |name: &str| name.ends_with("_p");
        let read = |text: &[u8], sent| statement::read(text, sent, backslash, known);
        let taken = read(bytes, Sent::Text);
        // A comment before it changes nothing.
        let commented = [b"/* holt user=1 */ ", bytes].concat();
        assert_eq!(read(&commented, Sent::Text), taken);
        if let Ok(taken) = taken {
            assert!(!executed && !open, "what is executed or open is not taken");
            assert!(taken.databases.iter().all(|name| known(name)));
            // What follows a semicolon is never taken with it.
            if !bytes.contains(&b'#') && !bytes.contains(&b'-') {
                let two = [bytes, b"; SELECT 1"].concat();
                assert!(read(&two, Sent::Text).is_err());
            }
            let prepared = read(bytes, Sent::Prepare);
            assert_eq!(prepared.is_ok(), taken.kind == Kind::Read);
        }
    }
}
