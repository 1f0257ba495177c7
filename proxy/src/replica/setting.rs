//! `SET`: which settings of a session may be changed, and to what. Pure.

use super::lexer::Token;
use super::packet::SqlError;
use super::statement::{Pin, read_write, refuse};

/// What may be set for a session. None of them writes, or lets anybody take more of the server than the limits give.
const HARMLESS: &[&str] = &[
    "autocommit",
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "collation_connection",
    "completion_type",
    "div_precision_increment",
    "foreign_key_checks",
    "group_concat_max_len",
    "innodb_lock_wait_timeout",
    "interactive_timeout",
    "join_cache_level",
    "lc_messages",
    "lc_time_names",
    "lock_wait_timeout",
    "max_execution_time",
    "max_statement_time",
    "net_read_timeout",
    "net_write_timeout",
    "optimizer_prune_level",
    "optimizer_search_depth",
    "optimizer_switch",
    "profiling",
    "session_track_schema",
    "sql_auto_is_null",
    "sql_big_selects",
    "sql_mode",
    "sql_notes",
    "sql_quote_show_create",
    "sql_safe_updates",
    "sql_select_limit",
    "sql_warnings",
    "time_zone",
    "timestamp",
    "transaction_isolation",
    "tx_isolation",
    "unique_checks",
    "updatable_views_with_limit",
    "wait_timeout",
];

/// What may be reckoned for a value. It is said again for each new connection to a server, so it must be quick.
const FUNCTIONS: &[&str] = &[
    "CAST",
    "COALESCE",
    "CONCAT",
    "CONCAT_WS",
    "IF",
    "IFNULL",
    "LOWER",
    "NOW",
    "NULLIF",
    "REPLACE",
    "TRIM",
    "UNIX_TIMESTAMP",
    "UPPER",
];

/// Character sets in which no letter hides a quote or a backslash.
const CHARACTER_SETS: &[&str] = &[
    "utf8", "utf8mb3", "utf8mb4", "latin1", "latin2", "latin5", "latin7", "ascii", "binary",
    "default", "null", "cp1250", "cp1251", "cp1256", "cp1257", "koi8r", "koi8u", "greek", "hebrew",
];

/// Reads what follows `SET`: the names of what is set, in lower case, and what it leaves behind.
///
/// # Errors
/// Why it is not taken, in words.
pub(super) fn read(tokens: &[Token<'_>]) -> Result<(Vec<String>, Option<Pin>), SqlError> {
    // In some character sets such a byte is a blank, and what follows it a setting of its own.
    let is_plain = |token: &Token<'_>| match token {
        Token::Word(word) | Token::UserVariable(word) => word.is_ascii(),
        Token::Symbol(symbol) => symbol.is_ascii(),
        _ => true,
    };
    if !tokens.iter().all(is_plain) {
        return Err(refuse(
            "in a SET, letters outside of ASCII may stand in quotes only".to_owned(),
        ));
    }
    let mut names = Vec::new();
    let mut pin = None;
    let end = tokens
        .iter()
        .position(|token| *token == Token::Symbol(b';'))
        .unwrap_or(tokens.len());
    let tokens = &tokens[..end];
    let body = match tokens {
        [scope, rest @ ..] if scope.is("SESSION") || scope.is("LOCAL") => rest,
        _ => tokens,
    };
    if body.first().is_some_and(|token| token.is("TRANSACTION")) {
        return transaction(body).map(|()| (vec!["transaction".to_owned()], None));
    }
    for item in items(tokens) {
        match item {
            [] => return Err(refuse("SET wants a setting and its value".to_owned())),
            [Token::UserVariable(_), ..] => pin = Some(Pin::Variable),
            [names_word, value, rest @ ..] if names_word.is("NAMES") => {
                character_set(*value)?;
                let is_plain = match rest {
                    [] => true,
                    [collate, _] => collate.is("COLLATE"),
                    _ => false,
                };
                if !is_plain {
                    return Err(refuse(
                        "SET NAMES takes a character set, and COLLATE with a collation".to_owned(),
                    ));
                }
                names.push("names".to_owned());
            }
            [character, set, value] if character.is("CHARACTER") && set.is("SET") => {
                character_set(*value)?;
                names.push("names".to_owned());
            }
            [charset, value] if charset.is("CHARSET") => {
                character_set(*value)?;
                names.push("names".to_owned());
            }
            item => names.push(variable(item)?),
        }
    }
    Ok((names, pin))
}

/// Parts at the commas that stand in no brackets.
fn items<'t, 'b>(tokens: &'t [Token<'b>]) -> Vec<&'t [Token<'b>]> {
    let mut depth = 0_usize;
    let mut all = Vec::new();
    let mut start = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Symbol(b'(') => depth += 1,
            Token::Symbol(b')') => depth = depth.saturating_sub(1),
            Token::Symbol(b',') if depth == 0 => {
                all.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    all.push(&tokens[start..]);
    all
}

fn transaction(tokens: &[Token<'_>]) -> Result<(), SqlError> {
    let writes = tokens
        .windows(2)
        .any(|pair| pair[0].is("READ") && pair[1].is("WRITE"));
    if writes {
        return Err(read_write());
    }
    const WORDS: &[&str] = &[
        "TRANSACTION",
        "ISOLATION",
        "LEVEL",
        "READ",
        "ONLY",
        "COMMITTED",
        "UNCOMMITTED",
        "REPEATABLE",
        "SERIALIZABLE",
    ];
    let known = |token: &Token<'_>| {
        *token == Token::Symbol(b',') || WORDS.iter().any(|word| token.is(word))
    };
    if tokens.iter().all(known) {
        Ok(())
    } else {
        Err(refuse(
            "SET TRANSACTION takes READ ONLY and ISOLATION LEVEL with a level".to_owned(),
        ))
    }
}

fn variable(item: &[Token<'_>]) -> Result<String, SqlError> {
    let global = || refuse("settings can be changed for your own session only".to_owned());
    let mut rest = item;
    let signed = matches!(rest.first(), Some(Token::SystemSign));
    if signed {
        rest = &rest[1..];
    }
    if let [scope, after @ ..] = rest {
        if ["GLOBAL", "PERSIST", "PERSIST_ONLY"]
            .iter()
            .any(|word| scope.is(word))
        {
            return Err(global());
        }
        if scope.is("SESSION") || scope.is("LOCAL") {
            rest = match (signed, after) {
                (true, [Token::Symbol(b'.'), after @ ..]) => after,
                (false, [Token::SystemSign, ..]) | (true, _) => return Err(global()),
                (false, after) => after,
            };
        }
    }
    let [name, sign, value @ ..] = rest else {
        return Err(unknown(item.first()));
    };
    let Some(word) = name.name() else {
        return Err(unknown(Some(name)));
    };
    let word = String::from_utf8_lossy(word).to_ascii_lowercase();
    if !matches!(sign, Token::Symbol(b'=') | Token::Assign) || value.is_empty() {
        return Err(unknown(Some(name)));
    }
    if !is_quick(value) {
        return Err(refuse(format!(
            "{} takes a plain value; ask for it with a SELECT before, and set what came",
            super::packet::cut(&word, 60)
        )));
    }
    if matches!(word.as_str(), "tx_read_only" | "transaction_read_only") {
        let [Token::Word(b"1")] = value else {
            if value.len() == 1 && (value[0].is("ON") || value[0].is("TRUE")) {
                return Ok(word);
            }
            return Err(read_write());
        };
        return Ok(word);
    }
    if !HARMLESS.contains(&word.as_str()) {
        return Err(unknown(Some(name)));
    }
    if matches!(
        word.as_str(),
        "character_set_client" | "character_set_connection" | "collation_connection"
    ) {
        let [value] = value else {
            return Err(refuse(format!("{word} takes one word")));
        };
        character_set(*value)?;
    }
    Ok(word)
}

/// Whether a value is there at once: no query, and no function that may take its time.
fn is_quick(value: &[Token<'_>]) -> bool {
    let mut last: Option<&Token<'_>> = None;
    for token in value {
        let calls = *token == Token::Symbol(b'(')
            && last.is_some_and(|name| {
                name.name().is_some() && !FUNCTIONS.iter().any(|known| name.is(known))
            });
        if calls || token.is("SELECT") {
            return false;
        }
        last = Some(token);
    }
    true
}

fn character_set(value: Token<'_>) -> Result<(), SqlError> {
    let name = match value {
        Token::Text(name) | Token::Double(name) | Token::Word(name) | Token::Name(name) => name,
        _ => &[],
    };
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    // A collation begins with its character set.
    let set = name.split('_').next().unwrap_or_default();
    if CHARACTER_SETS.contains(&set) {
        return Ok(());
    }
    Err(refuse(format!(
        "the character set {} is not taken; utf8mb4 holds every letter",
        super::packet::cut(&name, 40)
    )))
}

fn unknown(name: Option<&Token<'_>>) -> SqlError {
    let name = name.and_then(|name| name.name()).unwrap_or(b"that");
    let name = String::from_utf8_lossy(name);
    refuse(format!(
        "SET {} is not taken: it is not among the settings of a session that change nothing for others",
        super::packet::cut(&name, 60)
    ))
}
