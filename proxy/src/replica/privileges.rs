//! Whether an account can do more than read, by what `SHOW GRANTS` says. Pure.
//!
//! Source: MariaDB's "GRANT" page. What is not known to be harmless is refused.

use super::lexer::{Backslash, Token, Tokens};
use super::like::is_like;

/// What an account of the pool may have: none of these writes, or shows what others do.
const HARMLESS: &[&str] = &[
    "USAGE",
    "SELECT",
    "SHOW VIEW",
    "SHOW DATABASES",
    "EXECUTE",
    "REPLICATION CLIENT",
    "BINLOG MONITOR",
    "SLAVE MONITOR",
    "REPLICA MONITOR",
];

/// What these may be granted on anything but.
const READS: &[&str] = &["SELECT", "EXECUTE"];
/// Where passwords' hashes stand, what others run, and procedures that run what they are told.
const PRIVATE: &[&str] = &["mysql", "sys", "performance_schema"];

/// What one line of `SHOW GRANTS` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Granted {
    /// Nothing but reading.
    Harmless,
    /// Whatever this role has.
    Role(String),
    /// More than reading: what, and on what.
    TooMuch(String),
}

/// Reads one line.
pub(crate) fn read(line: &str) -> Granted {
    let mut tokens = Tokens::new(line.as_bytes(), Backslash::Plain).peekable();
    let too_much = || Granted::TooMuch(super::packet::cut(line, 120).to_owned());
    match tokens.next() {
        Some(token) if token.is("GRANT") => {}
        // `SET DEFAULT ROLE r FOR u` grants nothing.
        Some(token) if token.is("SET") => return Granted::Harmless,
        _ => return too_much(),
    }
    // `GRANT role TO user`: a single name, where privileges would have ON behind them.
    let rest: Vec<Token<'_>> = tokens.collect();
    if let [name, to, ..] = &rest[..]
        && to.is("TO")
        && let Some(name) = name.name()
    {
        return Granted::Role(String::from_utf8_lossy(name).into_owned());
    }
    let on = rest.iter().position(|token| token.is("ON"));
    let Some(on) = on else { return too_much() };
    let target: String = rest[on + 1..]
        .iter()
        .take_while(|token| !token.is("TO"))
        .map(|token| match token {
            Token::Symbol(symbol) => char::from(*symbol).to_string(),
            Token::Text(name) => String::from_utf8_lossy(name).into_owned(),
            token => String::from_utf8_lossy(token.name().unwrap_or_default()).into_owned(),
        })
        .collect();
    let mut privilege = String::new();
    let mut depth = 0_usize;
    let mut bad = Vec::new();
    let mut finish = |privilege: &mut String| {
        if !HARMLESS.contains(&privilege.as_str()) {
            bad.push(std::mem::take(privilege));
        }
        privilege.clear();
    };
    for token in &rest[..on] {
        match token {
            // Columns of a privilege.
            Token::Symbol(b'(') => depth += 1,
            Token::Symbol(b')') => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            Token::Symbol(b',') => finish(&mut privilege),
            token => {
                if !privilege.is_empty() {
                    privilege.push(' ');
                }
                let word = token.name().unwrap_or(b"?");
                privilege.push_str(&String::from_utf8_lossy(word).to_ascii_uppercase());
            }
        }
    }
    finish(&mut privilege);
    let option = rest
        .windows(2)
        .any(|pair| pair[0].is("GRANT") && pair[1].is("OPTION"));
    if option {
        bad.push("GRANT OPTION".to_owned());
    }
    if !bad.is_empty() {
        return Granted::TooMuch(format!("{} on {target}", bad.join(", ")));
    }
    match private(&rest[..on], &rest[on + 1..]) {
        Some(private) => Granted::TooMuch(format!(
            "its grant on {target} holds for {private} too, where passwords' hashes or the queries of others are; \
             grant it on `%\\_p`.* instead"
        )),
        None => Granted::Harmless,
    }
}

/// What of the servers' own may be read by a grant, if anything.
fn private(privileges: &[Token<'_>], target: &[Token<'_>]) -> Option<&'static str> {
    let reads = privileges
        .iter()
        .any(|token| READS.iter().any(|word| token.is(word)));
    let pattern = match target.first() {
        _ if !reads => return None,
        Some(Token::Symbol(b'*')) => "%",
        Some(Token::Name(name) | Token::Word(name)) => std::str::from_utf8(name).ok()?,
        _ => return None,
    };
    PRIVATE
        .iter()
        .copied()
        .find(|private| is_like(private, pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reading_is_harmless() {
        for line in [
            "GRANT USAGE ON *.* TO `u1`@`%` IDENTIFIED BY PASSWORD '*A' WITH MAX_USER_CONNECTIONS 10",
            "GRANT SELECT, SHOW VIEW ON `enwiki\\_p`.* TO `u1`@`%`",
            "GRANT SELECT (a, b), SHOW VIEW ON `x`.`y` TO `u1`@`%`",
            "GRANT SELECT, EXECUTE ON `x`.* TO `u1`@`%`",
            "GRANT SELECT, SHOW VIEW, EXECUTE ON `%\\_p`.* TO `u1`@`%`",
            "GRANT SHOW VIEW, SLAVE MONITOR ON *.* TO `u1`@`%`",
            "SET DEFAULT ROLE `reader` FOR `u1`@`%`",
        ] {
            assert_eq!(read(line), Granted::Harmless, "{line}");
        }
        assert_eq!(
            read("GRANT `reader` TO `u1`@`%`"),
            Granted::Role("reader".to_owned())
        );
        for (line, why) in [
            (
                "GRANT ALL PRIVILEGES ON *.* TO `u1`@`%`",
                "ALL PRIVILEGES on *.*",
            ),
            (
                "GRANT SELECT, INSERT (a), DROP ON `x`.* TO `u1`@`%`",
                "INSERT, DROP on x.*",
            ),
            (
                "GRANT SELECT ON *.* TO `u1`@`%`",
                "its grant on *.* holds for mysql",
            ),
            (
                "GRANT SELECT ON `%`.* TO `u1`@`%`",
                "its grant on %.* holds for mysql",
            ),
            (
                "GRANT SELECT ON `mysql`.`user` TO `u1`@`%`",
                "its grant on mysql.user holds for mysql",
            ),
            (
                "GRANT EXECUTE ON `s_s`.* TO `u1`@`%`",
                "its grant on s_s.* holds for sys",
            ),
            ("GRANT FILE ON *.* TO `u1`@`%`", "FILE on *.*"),
            ("GRANT PROCESS ON *.* TO `u1`@`%`", "PROCESS on *.*"),
            (
                "GRANT SELECT ON `x`.* TO `u1`@`%` WITH GRANT OPTION",
                "GRANT OPTION on x.*",
            ),
            (
                "GRANT CREATE TEMPORARY TABLES ON `x`.* TO `u1`@`%`",
                "CREATE TEMPORARY TABLES on x.*",
            ),
            ("GRANT PROXY ON ''@'%' TO 'root'@'localhost'", "PROXY on "),
        ] {
            let Granted::TooMuch(told) = read(line) else {
                panic!("{line}")
            };
            assert!(told.starts_with(why), "{told}");
        }
        assert!(matches!(read("rubbish"), Granted::TooMuch(_)));
    }
}
