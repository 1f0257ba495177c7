//! Whose words failures are told in: a server's, a directory's, or our own.

use std::collections::HashMap;
use std::future::{Future, ready};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Mutex;

use bytes::Bytes;
use http::StatusCode;

use crate::http::{Page, Pages};

const HTML: &str = "text/html; charset=utf-8";

/// The bare words of a status: what is left when there is no page.
pub(super) fn bare(status: u16) -> Page {
    let words = StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Error");
    Page {
        kind: None,
        encoding: None,
        body: Bytes::from_static(words.as_bytes()),
    }
}

/// Our own pages.
#[derive(Debug)]
pub(super) struct Own;

impl Pages for Own {
    fn page<'a>(
        &'a self,
        status: u16,
        _: &'a str,
    ) -> Pin<Box<dyn Future<Output = Page> + Send + 'a>> {
        Box::pin(ready(own(status)))
    }
}

fn own(status: u16) -> Page {
    let (title, words) = match status {
        400 | 405 | 414 | 431 | 501 => (
            "This request makes no sense",
            "The address, or what came with it, cannot be read in one way only.",
        ),
        403 => ("No entry", "You may not go there, or not any more."),
        404 => (
            "Nothing is here",
            "No server has this address. It may have been stopped: go back to where you started it.",
        ),
        429 => (
            "Too much at once",
            "There are too many connections already. Close some, and try again.",
        ),
        502..=504 => (
            "The server does not answer",
            "It may be starting, or have ended. Try again in a moment.",
        ),
        _ => (
            "That did not work",
            "Something failed on the way to the server. Try again in a moment.",
        ),
    };
    let reason = bare(status);
    let body = include_str!("page.html")
        .replace("{status}", &status.to_string())
        .replace("{reason}", &String::from_utf8_lossy(&reason.body))
        .replace("{title}", title)
        .replace("{words}", words);
    Page {
        kind: Some(HTML.to_owned()),
        encoding: None,
        body: body.into(),
    }
}

/// Pages of a directory: `<status>.html`, or `error.html`. Each is read once.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    // By status, of which there are few. Held for a look-up, never across a read.
    read: Mutex<HashMap<u16, Page>>,
}

impl Directory {
    /// The pages of this directory.
    pub(super) fn at(path: &Path) -> Self {
        Directory {
            path: path.to_path_buf(),
            read: Mutex::default(),
        }
    }

    fn known(&self, status: u16) -> Option<Page> {
        let read = self.read.lock().expect("no panic under this lock");
        read.get(&status).cloned()
    }

    async fn read(&self, status: u16) -> Page {
        for name in [format!("{status}.html"), "error.html".to_owned()] {
            let file = self.path.join(name);
            match tokio::fs::read(&file).await {
                Ok(body) => {
                    return Page {
                        kind: Some(HTML.to_owned()),
                        encoding: None,
                        body: body.into(),
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tracing::debug!("There is no page {}", file.display());
                }
                Err(error) => tracing::error!(%error, "The page {} cannot be read", file.display()),
            }
        }
        tracing::error!(
            "{} has no page for {status}, and no error.html",
            self.path.display()
        );
        bare(status)
    }
}

impl Pages for Directory {
    fn page<'a>(
        &'a self,
        status: u16,
        _: &'a str,
    ) -> Pin<Box<dyn Future<Output = Page> + Send + 'a>> {
        Box::pin(async move {
            if let Some(page) = self.known(status) {
                return page;
            }
            let page = self.read(status).await;
            let mut read = self.read.lock().expect("no panic under this lock");
            read.insert(status, page.clone());
            page
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_is_asked_for_the_status_and_then_for_any_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("404.html"), "gone").unwrap();
        let pages = Directory::at(dir.path());
        assert_eq!(pages.page(404, "/x").await.body, "gone");
        assert_eq!(pages.page(500, "/x").await, bare(500));
        std::fs::write(dir.path().join("error.html"), "any").unwrap();
        assert_eq!(pages.page(503, "/x").await.body, "any");
        std::fs::write(dir.path().join("404.html"), "changed").unwrap();
        assert_eq!(pages.page(404, "/x").await.body, "gone");
    }

    #[test]
    fn every_status_has_a_page_of_our_own() {
        for status in 400..600 {
            let page = own(status);
            let body = String::from_utf8(page.body.to_vec()).unwrap();
            assert!(
                body.contains(&status.to_string()) && !body.contains('{'),
                "{body}"
            );
        }
    }
}
