//! SQL cut into tokens, tolerantly: enough to tell names from texts and comments, nothing more. Pure, one pass, no memory.
//!
//! Source: MariaDB's "Comment Syntax", "Identifier Names" and "String Literals".

/// What a piece of a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'b> {
    /// A keyword, a bare name or a number.
    Word(&'b [u8]),
    /// A name in backticks, without them; doubled backticks in it are left as they are.
    Name(&'b [u8]),
    /// A text in double quotes, or a name where the session says so.
    Double(&'b [u8]),
    /// A text in single quotes, without them.
    Text(&'b [u8]),
    /// A variable of the user: `@x`, without its sign.
    UserVariable(&'b [u8]),
    /// `@@`, with nothing behind it.
    SystemSign,
    /// `:=`.
    Assign,
    /// Any other single character.
    Symbol(u8),
    /// A comment that the server would execute: `/*! ... */`.
    Executed,
    /// A quote or a comment that does not end.
    Open,
    /// `--` with a letter behind it that is a blank in some character sets: a comment there, and none elsewhere.
    Unclear,
}

impl<'b> Token<'b> {
    /// What it calls, if it may be a name.
    pub(crate) fn name(self) -> Option<&'b [u8]> {
        match self {
            Self::Word(name) | Self::Name(name) | Self::Double(name) => Some(name),
            _ => None,
        }
    }

    /// Whether it is this keyword.
    pub(crate) fn is(self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword.as_bytes()))
    }
}

/// How backslashes are read in texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backslash {
    /// It takes the meaning from the next character.
    Escapes,
    /// It is a character like others (`NO_BACKSLASH_ESCAPES`).
    Plain,
}

/// The tokens of a statement, in order.
#[derive(Debug, Clone)]
pub(crate) struct Tokens<'b> {
    rest: &'b [u8],
    backslash: Backslash,
}

impl<'b> Tokens<'b> {
    pub(crate) fn new(statement: &'b [u8], backslash: Backslash) -> Self {
        Self {
            rest: statement,
            backslash,
        }
    }

    /// What has not been cut yet.
    #[cfg(test)]
    pub(crate) fn rest(&self) -> &'b [u8] {
        self.rest
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    /// Passes over white space and comments; a token when a comment is one to be told of.
    fn pass_blank(&mut self) -> Option<Token<'b>> {
        loop {
            match self.rest {
                [0x01..=b' ' | 0x7F, ..] => self.skip(1),
                [b'#', ..] => self.pass_line(),
                [b'-', b'-', b'\0'..=b' ' | 0x7F, ..] | [b'-', b'-'] => self.pass_line(),
                [b'-', b'-', 0x80..=0xFF, ..] => {
                    self.rest = &[];
                    return Some(Token::Unclear);
                }
                [b'/', b'*', after @ ..] => {
                    let executed = matches!(after, [b'!', ..] | [b'M' | b'm', b'!', ..]);
                    match memchr::memmem::find(after, b"*/") {
                        Some(end) => self.skip(2 + end + 2),
                        None => {
                            self.rest = &[];
                            return Some(Token::Open);
                        }
                    }
                    if executed {
                        return Some(Token::Executed);
                    }
                }
                _ => return None,
            }
        }
    }

    fn pass_line(&mut self) {
        let end = memchr::memchr(b'\n', self.rest).map_or(self.rest.len(), |end| end + 1);
        self.skip(end);
    }

    fn quoted(&mut self, quote: u8) -> Option<&'b [u8]> {
        let text = &self.rest[1..];
        let mut at = 0;
        let escapes = quote != b'`' && self.backslash == Backslash::Escapes;
        loop {
            let found = if escapes {
                memchr::memchr2(quote, b'\\', text.get(at..)?)?
            } else {
                memchr::memchr(quote, text.get(at..)?)?
            };
            at += found;
            if text[at] == b'\\' && escapes {
                at += 2;
            } else if text.get(at + 1) == Some(&quote) {
                // Doubled: it stands for one.
                at += 2;
            } else {
                self.skip(at + 2);
                return Some(&text[..at]);
            }
        }
    }

    fn word(&mut self) -> &'b [u8] {
        let end = self
            .rest
            .iter()
            .position(|byte| !is_word(*byte))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

impl<'b> Iterator for Tokens<'b> {
    type Item = Token<'b>;

    fn next(&mut self) -> Option<Token<'b>> {
        if let Some(told) = self.pass_blank() {
            return Some(told);
        }
        let first = *self.rest.first()?;
        let quoted = |tokens: &mut Self, make: fn(&'b [u8]) -> Token<'b>| {
            tokens.quoted(first).map_or_else(
                || {
                    tokens.rest = &[];
                    Token::Open
                },
                make,
            )
        };
        Some(match first {
            b'\'' => quoted(self, Token::Text),
            b'"' => quoted(self, Token::Double),
            b'`' => quoted(self, Token::Name),
            b'@' if self.rest.get(1) == Some(&b'@') => {
                self.skip(2);
                Token::SystemSign
            }
            b'@' => {
                self.skip(1);
                let name = match self.rest.first() {
                    Some(quote @ (b'\'' | b'"' | b'`')) => self.quoted(*quote),
                    _ => Some(self.word()),
                };
                match name {
                    Some(name) => Token::UserVariable(name),
                    None => {
                        self.rest = &[];
                        Token::Open
                    }
                }
            }
            b':' if self.rest.get(1) == Some(&b'=') => {
                self.skip(2);
                Token::Assign
            }
            byte if is_word(byte) => Token::Word(self.word()),
            byte => {
                self.skip(1);
                Token::Symbol(byte)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(text: &str) -> Vec<Token<'_>> {
        Tokens::new(text.as_bytes(), Backslash::Escapes).collect()
    }

    #[test]
    fn names_texts_and_comments_are_told_apart() {
        use Token::{
            Assign, Double, Executed, Name, Open, Symbol, SystemSign, Text, UserVariable, Word,
        };
        let cases: &[(&str, &[Token<'_>])] = &[
            ("SELECT 1", &[Word(b"SELECT"), Word(b"1")]),
            ("a.`b``c`", &[Word(b"a"), Symbol(b'.'), Name(b"b``c")]),
            (r"'it''s \' ok' x", &[Text(br"it''s \' ok"), Word(b"x")]),
            (
                "\"q\"--1",
                &[Double(b"q"), Symbol(b'-'), Symbol(b'-'), Word(b"1")],
            ),
            (
                "1 -- two\n3 # four\n5",
                &[Word(b"1"), Word(b"3"), Word(b"5")],
            ),
            ("1 /* ' */ 2 --", &[Word(b"1"), Word(b"2")]),
            ("/*!50000 x */ 1", &[Executed, Word(b"1")]),
            ("/*M!100000 x */", &[Executed]),
            ("/*+ hint */ 1", &[Word(b"1")]),
            (
                "@a := @@b",
                &[UserVariable(b"a"), Assign, SystemSign, Word(b"b")],
            ),
            (
                "@'a b'=1",
                &[UserVariable(b"a b"), Symbol(b'='), Word(b"1")],
            ),
            ("1 --\x7f' \n2", &[Word(b"1"), Word(b"2")]),
            ("1 --\u{a0}' \n2", &[Word(b"1"), Token::Unclear]),
            ("'open", &[Open]),
            ("x /* open", &[Word(b"x"), Open]),
            ("'\\", &[Open]),
            ("`open", &[Open]),
            ("", &[]),
        ];
        for (text, wanted) in cases {
            assert_eq!(&cut(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_backslash_is_plain_where_the_session_says_so() {
        let tokens = Tokens::new(br"'\' x", Backslash::Plain);
        assert_eq!(
            tokens.collect::<Vec<_>>(),
            [Token::Text(br"\"), Token::Word(b"x")]
        );
    }

    proptest! {
        #[test]
        fn it_ends_and_never_goes_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for backslash in [Backslash::Escapes, Backslash::Plain] {
                let mut tokens = Tokens::new(&bytes, backslash);
                let mut left = bytes.len() + 1;
                while tokens.next().is_some() {
                    prop_assert!(tokens.rest().len() < left);
                    left = tokens.rest().len();
                }
                prop_assert!(tokens.rest().is_empty());
            }
        }
    }
}
