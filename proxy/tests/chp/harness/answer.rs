//! An answer as a client saw it, and how it is told in one line.

use std::fmt::Write as _;

use super::wire::Nothing;

pub(crate) fn status_of(head: &str) -> u16 {
    head.split(' ')
        .nth(1)
        .and_then(|status| status.trim().parse().ok())
        .unwrap_or(0)
}

/// The first value of a header.
pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    headers(head, name).into_iter().next()
}

/// Every value of a header.
pub(crate) fn headers(head: &str, name: &str) -> Vec<String> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
        .collect()
}

/// An answer as the client saw it.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) interim: Vec<String>,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        status_of(&self.head)
    }

    /// A header's values with what stands between lines, or `-`.
    pub(crate) fn header(&self, name: &str) -> String {
        match headers(&self.head, name) {
            found if found.is_empty() => "-".to_owned(),
            found => found.join(" | "),
        }
    }
}

/// What an answer was, or why there was none: `200 ok`.
pub(crate) trait Told {
    fn told(&self) -> String;
    fn status(&self) -> String;
    fn header(&self, name: &str) -> String;
    fn body(&self) -> String;
}

impl Told for Result<Answer, Nothing> {
    fn told(&self) -> String {
        match self {
            Ok(answer) => {
                let mut told = answer.status().to_string();
                if !answer.body.is_empty() {
                    write!(told, " {}", answer.body).unwrap();
                }
                told
            }
            Err(nothing) => nothing.told().to_owned(),
        }
    }

    fn status(&self) -> String {
        match self {
            Ok(answer) => answer.status().to_string(),
            Err(nothing) => nothing.told().to_owned(),
        }
    }

    fn header(&self, name: &str) -> String {
        match self {
            Ok(answer) => answer.header(name),
            Err(nothing) => nothing.told().to_owned(),
        }
    }

    fn body(&self) -> String {
        match self {
            Ok(answer) => answer.body.clone(),
            Err(nothing) => nothing.told().to_owned(),
        }
    }
}
