//! What a statement is about to do, and whether it may: the words that come before the wall of grants. Pure.

use super::lexer::{Backslash, Token, Tokens};
use super::packet::SqlError;
use super::setting;

/// The longest `SET`.
const SET: usize = 8 * 1024;
/// The most databases of one statement.
const DATABASES: usize = 32;

/// What the session keeps from now on, so that it cannot change its section unnoticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pin {
    /// A variable of the user's own.
    Variable,
    /// A setting that cannot be said again.
    Setting,
    /// A lock by name.
    Lock,
}

/// What a lawful statement does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Reads, shows or explains.
    Read,
    /// Chooses the default database.
    Use(String),
    /// Changes settings of the session: their names, in lower case.
    Set(Vec<String>),
    /// Asks which databases there are, such as match this pattern.
    Databases(Option<String>),
    /// Begins a transaction in words.
    Begin,
    /// Ends one.
    End,
    /// Ends another statement or connection of the same user.
    Kill {
        /// Its connection.
        connection: u64,
        /// Only the statement that it runs.
        query_only: bool,
    },
}

/// A lawful statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// What it does.
    pub(crate) kind: Kind,
    /// The known databases that it names.
    pub(crate) databases: Vec<String>,
    /// What it leaves behind in the session.
    pub(crate) pin: Option<Pin>,
}

/// How it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// To be executed.
    Text,
    /// To be prepared.
    Prepare,
}

/// Reads a statement.
///
/// # Errors
/// Why it is not taken, in words.
pub(crate) fn read(
    text: &[u8],
    sent: Sent,
    backslash: Backslash,
    is_database: impl Fn(&str) -> bool,
) -> Result<Statement, SqlError> {
    let mut tokens = Tokens::new(text, backslash);
    let first = loop {
        match tokens.next() {
            None => return Err(SqlError::new(1065, b"42000", "Query was empty")),
            Some(Token::Symbol(b'(')) => {}
            Some(Token::Symbol(b';')) if tokens.clone().next().is_none() => {
                return Err(SqlError::new(1065, b"42000", "Query was empty"));
            }
            Some(Token::Word(word)) => break word.to_ascii_uppercase(),
            Some(Token::Executed) => return Err(executed()),
            Some(Token::Open) => return Err(open()),
            Some(Token::Unclear) => return Err(unclear()),
            Some(_) => return Err(unknown("it")),
        }
    };
    let first = String::from_utf8_lossy(&first).into_owned();
    let second = tokens.clone().next();
    let second_is =
        |words: &[&str]| second.is_some_and(|token| words.iter().any(|word| token.is(word)));
    let ends = matches!(second, None | Some(Token::Symbol(b';')));
    let after = tokens.clone();
    let mut kind = Kind::Read;
    match first.as_str() {
        "ANALYZE" if second_is(&["SELECT", "WITH", "FORMAT"]) => {}
        "SHOW" if sent == Sent::Text && second_is(&["DATABASES", "SCHEMAS"]) => {
            if let Some(pattern) = databases(after.clone()) {
                kind = Kind::Databases(pattern);
            }
        }
        "SHOW" if shows_accounts(after.clone()) => {
            return Err(refuse(
                "what the replica accounts may do is not shown: their passwords' hashes stand beside it. You can read what ends in _p".to_owned(),
            ));
        }
        "SELECT" | "WITH" | "SHOW" | "EXPLAIN" | "DESCRIBE" | "DESC" | "VALUES" | "HELP" | "DO"
        | "CALL" | "SAVEPOINT" | "RELEASE" => {}
        "USE" => kind = Kind::Use(one_name(after)?),
        "SET" => {
            if text.len() > SET {
                return Err(refuse(format!(
                    "a SET of more than {SET} bytes is not taken"
                )));
            }
            let rest: Vec<Token<'_>> = after.collect();
            let (names, pin) = setting::read(&rest)?;
            kind = Kind::Set(names);
            let mut statement = scan(tokens, &first, is_database)?;
            statement.pin = statement.pin.or(pin);
            statement.kind = kind;
            return of(statement, sent);
        }
        "BEGIN" if ends || second_is(&["WORK"]) => kind = Kind::Begin,
        "START" if second_is(&["TRANSACTION"]) => kind = Kind::Begin,
        "COMMIT" | "ROLLBACK" => kind = Kind::End,
        "KILL" => kind = kill(after)?,
        "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "CREATE" | "DROP" | "ALTER" | "TRUNCATE"
        | "RENAME" | "GRANT" | "REVOKE" | "ANALYZE" | "OPTIMIZE" | "REPAIR" | "INSTALL"
        | "UNINSTALL" => {
            return Err(SqlError::new(
                1792,
                b"25006",
                format!(
                    "The replicas are read-only, so {first} is not taken. Keep results in files or in memory"
                ),
            ));
        }
        "LOCK" | "UNLOCK" | "HANDLER" | "XA" => {
            return Err(refuse(format!(
                "{first} is not taken: nothing can be locked on the replicas"
            )));
        }
        "PREPARE" | "EXECUTE" | "DEALLOCATE" => {
            return Err(SqlError::new(
                1295,
                b"HY000",
                format!(
                    "{first} of a text is not taken; use the prepared statements of your library"
                ),
            ));
        }
        "LOAD" => {
            return Err(SqlError::new(
                1148,
                b"42000",
                "LOAD is not taken: the replicas are read-only, and no file is read",
            ));
        }
        _ => return Err(unknown(&first)),
    }
    let mut statement = scan(tokens, &first, is_database)?;
    statement.kind = kind;
    of(statement, sent)
}

/// What may be prepared is less: what changes the session has to pass as text.
fn of(statement: Statement, sent: Sent) -> Result<Statement, SqlError> {
    if sent == Sent::Prepare && statement.kind != Kind::Read {
        return Err(SqlError::new(
            1295,
            b"HY000",
            "This command is not supported in the prepared statement protocol yet; send it as text",
        ));
    }
    Ok(statement)
}

/// Looks through the rest of a statement for what is refused anywhere, and for databases.
fn scan(
    tokens: Tokens<'_>,
    first: &str,
    is_database: impl Fn(&str) -> bool,
) -> Result<Statement, SqlError> {
    let mut databases: Vec<String> = Vec::new();
    let mut pin = None;
    let mut over = false;
    let shows = matches!(first, "SHOW" | "DESCRIBE" | "DESC" | "EXPLAIN");
    let nothing = Token::Symbol(b' ');
    let (mut earlier, mut last) = (nothing, nothing);
    for token in tokens {
        match token {
            Token::Executed => return Err(executed()),
            Token::Open => return Err(open()),
            Token::Unclear => return Err(unclear()),
            _ if over => {
                return Err(SqlError::new(
                    1235,
                    b"42000",
                    "One statement at a time: what follows the semicolon is not taken. Send it by itself",
                ));
            }
            Token::Symbol(b';') => over = true,
            Token::Assign if matches!(last, Token::UserVariable(_)) => pin = Some(Pin::Variable),
            Token::UserVariable(_) if last.is("INTO") => pin = Some(Pin::Variable),
            Token::Symbol(b'(')
                if last
                    .name()
                    .is_some_and(|name| name.eq_ignore_ascii_case(b"GET_LOCK")) =>
            {
                pin = Some(Pin::Lock);
            }
            _ => {}
        }
        let pair = |one: &str, other: &str| last.is(one) && token.is(other);
        if pair("INTO", "OUTFILE") || pair("INTO", "DUMPFILE") {
            return Err(refuse("INTO OUTFILE and INTO DUMPFILE are not taken: read the result, and write the file in your notebook".to_owned()));
        }
        if pair("FOR", "UPDATE") || pair("FOR", "SHARE") || pair("LOCK", "IN") {
            return Err(refuse("rows cannot be locked on the replicas: leave FOR UPDATE, FOR SHARE or LOCK IN SHARE MODE out".to_owned()));
        }
        if pair("READ", "WRITE") && matches!(first, "START" | "SET") {
            return Err(read_write());
        }
        // `a.b`, where `a` is not itself behind a dot; and what SHOW is told to look into.
        let named = match (earlier, last, token) {
            (Token::Symbol(b'.'), _, Token::Symbol(b'.')) => None,
            (_, name, Token::Symbol(b'.')) => name.name(),
            (_, before, name) if shows && (before.is("FROM") || before.is("IN")) => name.name(),
            _ => None,
        };
        if let Some(name) = named
            && let Ok(name) = std::str::from_utf8(name)
            && is_database(name)
            && !databases.iter().any(|known| known == name)
        {
            if databases.len() == DATABASES {
                return Err(refuse(format!(
                    "more than {DATABASES} databases in one statement are not taken"
                )));
            }
            databases.push(name.to_owned());
        }
        (earlier, last) = (last, token);
    }
    Ok(Statement {
        kind: Kind::Read,
        databases,
        pin,
    })
}

/// Whether this is what follows SHOW where accounts are shown, which servers do with the hashes of passwords.
fn shows_accounts(mut tokens: Tokens<'_>) -> bool {
    match tokens.next() {
        Some(token) if token.is("GRANTS") => true,
        Some(token) if token.is("CREATE") => tokens.next().is_some_and(|token| token.is("USER")),
        _ => false,
    }
}

/// `SHOW DATABASES`, and with `LIKE` and a text: the pattern. With anything else behind it, it is for a server to answer.
fn databases(mut tokens: Tokens<'_>) -> Option<Option<String>> {
    tokens.next();
    let pattern = match tokens.next() {
        None => return Some(None),
        Some(Token::Symbol(b';')) => None,
        Some(like) if like.is("LIKE") => match tokens.next() {
            Some(Token::Text(text) | Token::Double(text)) => {
                // A backslash before `_` or `%` stays in a text, and makes it that very letter in a pattern.
                Some(String::from_utf8_lossy(text).into_owned())
            }
            _ => return None,
        },
        Some(_) => return None,
    };
    match tokens.next() {
        None | Some(Token::Symbol(b';')) => Some(pattern),
        Some(_) => None,
    }
}

fn one_name(mut tokens: Tokens<'_>) -> Result<String, SqlError> {
    let name = match tokens.next().and_then(Token::name) {
        Some(name) => String::from_utf8_lossy(name).replace("``", "`"),
        None => return Err(refuse("USE wants the name of a database".to_owned())),
    };
    match tokens.next() {
        None | Some(Token::Symbol(b';')) => Ok(name),
        Some(_) => Err(refuse(
            "USE takes the name of a database and nothing else".to_owned(),
        )),
    }
}

fn kill(tokens: Tokens<'_>) -> Result<Kind, SqlError> {
    let mut query_only = false;
    for token in tokens {
        match token {
            Token::Word(_) if token.is("QUERY") => query_only = true,
            Token::Word(_)
                if ["HARD", "SOFT", "CONNECTION"]
                    .iter()
                    .any(|word| token.is(word)) => {}
            Token::Word(number) => {
                let number = std::str::from_utf8(number)
                    .ok()
                    .and_then(|number| number.parse().ok());
                if let Some(connection) = number {
                    return Ok(Kind::Kill {
                        connection,
                        query_only,
                    });
                }
                break;
            }
            _ => break,
        }
    }
    Err(refuse(
        "KILL takes the number of a connection of your own: KILL QUERY 7".to_owned(),
    ))
}

pub(super) fn refuse(words: String) -> SqlError {
    SqlError::new(1235, b"42000", format!("Holt: {words}"))
}

pub(super) fn read_write() -> SqlError {
    SqlError::new(
        1792,
        b"25006",
        "The replicas are read-only: READ WRITE is not taken",
    )
}

fn executed() -> SqlError {
    refuse(
        "comments that are executed (/*! ... */) are not taken: write the words themselves"
            .to_owned(),
    )
}

fn open() -> SqlError {
    SqlError::new(
        1064,
        b"42000",
        "The statement ends within a comment or a quote that was not closed",
    )
}

fn unclear() -> SqlError {
    refuse("it is not clear whether -- begins a comment: write a space behind it".to_owned())
}

fn unknown(first: &str) -> SqlError {
    let first = super::packet::cut(first, 40);
    refuse(format!(
        "a statement that begins with {first} is not taken; SELECT, WITH, SHOW, DESCRIBE, EXPLAIN, USE, SET and CALL are"
    ))
}

#[cfg(test)]
mod tests;
