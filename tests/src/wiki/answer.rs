//! Answers, with the content types that the recorded wiki gave.

use super::php::{Json, Letters, escape_html};

/// What goes out.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names in small letters.
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

pub(super) const HTML: &str = "text/html; charset=UTF-8";

impl Answer {
    pub(super) fn new(status: u16, content_type: &str, body: String) -> Self {
        Self {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            body,
        }
    }

    /// What Special:OAuth says raw.
    pub(super) fn raw(body: String) -> Self {
        Self::new(200, "text/plain;charset=UTF-8", body)
    }

    /// What Special:OAuth and resources say in JSON.
    pub(super) fn json(status: u16, body: &Json) -> Self {
        Self::new(status, "application/json", body.write(Letters::Escaped))
    }

    /// A page of the wiki.
    pub(super) fn page(status: u16, title: &str, inside: &str) -> Self {
        let body = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"UTF-8\"><title>{title}</title></head>\n\
             <body><h1 id=\"firstHeading\">{title}</h1>\n<div id=\"mw-content-text\">{inside}</div></body></html>\n",
            title = escape_html(title),
        );
        Self::new(status, HTML, body)
    }

    pub(super) fn redirect(status: u16, to: &str) -> Self {
        Self::new(status, HTML, String::new()).with("location", to)
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
