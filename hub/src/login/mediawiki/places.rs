//! Where a wiki's entry points lie, all worked out from the public address of its `index.php`.
//!
//! Pretty paths are never used: what is signed is the path as it is sent, and too many programs on the way rewrite those.

use url::Url;

use crate::login::provider::LoginError;

/// The addresses of one wiki, and the two names it may go by.
#[derive(Debug, Clone)]
pub(super) struct Places {
    index: Url,
    /// Who vouches for accounts: an origin.
    pub(super) issuer: String,
    /// The origin that is really dialled.
    pub(super) dialled: String,
}

impl Places {
    /// # Errors
    /// [`LoginError::Operator`] when this is not the address of an `index.php`.
    pub(super) fn new(
        index: &Url,
        issuer: Option<&Url>,
        connect_to: Option<&Url>,
    ) -> Result<Self, LoginError> {
        let is_web = ["http", "https"].contains(&index.scheme());
        let is_bare = index.query().is_none()
            && index.fragment().is_none()
            && index.username().is_empty()
            && index.password().is_none();
        let is_index =
            index.path_segments().and_then(|mut path| path.next_back()) == Some("index.php");
        if !(is_web && is_bare && is_index) {
            return Err(LoginError::Operator {
                reason: "index_url does not lead to a wiki's index.php".to_owned(),
            });
        }
        let issuer = issuer.unwrap_or(index);
        if !issuer.origin().is_tuple() {
            return Err(LoginError::Operator {
                reason: "issuer is not the address of a wiki".to_owned(),
            });
        }
        Ok(Self {
            index: index.clone(),
            issuer: origin(issuer),
            dialled: origin(connect_to.unwrap_or(index)),
        })
    }

    /// The origin that is signed, which must be what the wiki calls itself.
    pub(super) fn signed(&self) -> String {
        origin(&self.index)
    }

    /// A page of Special:OAuth, with more fields of its query.
    pub(super) fn special(&self, page: &str, more: &[(&str, &str)]) -> Url {
        let mut url = self.index.clone();
        url.query_pairs_mut()
            .append_pair("title", &format!("Special:OAuth/{page}"))
            .extend_pairs(more);
        url
    }

    /// A path of the REST API, such as `oauth2/authorize`.
    pub(super) fn rest(&self, path: &str) -> Url {
        let mut url = self.index.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop().push("rest.php").extend(path.split('/'));
        }
        url
    }
}

/// Scheme, host and port, without what goes without saying.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
