//! What a wiki has to be told about, before anybody can sign in there.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

/// Settings of one wiki. `Debug` tells no secret.
#[derive(Debug, Clone)]
pub struct MediawikiSettings {
    /// OAuth 1.0a or OAuth 2.0, as the consumer was registered.
    pub protocol: Protocol,
    /// How requests of OAuth 1.0a are signed.
    pub signature: Signature,
    /// The wiki's `index.php`, as the public calls it: this address is signed, and `rest.php` lies beside it.
    pub index_url: Url,
    /// Who vouches for accounts; `None` is the origin of `index_url`. Only its origin counts.
    pub issuer: Option<Url>,
    /// An origin that is dialled instead of the public one.
    pub connect_to: Option<Url>,
    /// The consumer's key, or the client's id.
    pub client_id: String,
    /// The consumer's secret. `None` is a public client of OAuth 2.0.
    pub client_secret: Option<SecretString>,
    /// OAuth 1.0a: whether `oob` is sent for the callback (the registered address is a whole one), or ours (it is a prefix).
    pub callback_oob: bool,
    /// OAuth 2.0: grants that are asked for; none asks for all that are registered.
    pub scopes: Vec<String>,
    /// What requests call themselves: `Name/version (contact)`. Wikimedia refuses others.
    pub user_agent: String,
    /// How far the clocks may be apart. 30 s is sane.
    pub leeway: Duration,
    /// The `api.php` that is asked whether accounts are locked everywhere; `None` asks nobody.
    pub lock_check_url: Option<Url>,
    /// Members of these groups there administer the hub.
    pub admin_groups: Vec<String>,
}

/// What is spoken with the wiki.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OAuth 1.0a.
    Oauth1,
    /// OAuth 2.0.
    Oauth2,
}

/// How requests of OAuth 1.0a are signed.
#[derive(Debug, Clone)]
pub enum Signature {
    /// With the consumer's secret.
    HmacSha1,
    /// With a key whose public half the wiki knows. The secret is needed all the same: the wiki signs its statements with it.
    RsaSha1 {
        /// PEM, PKCS #8 or PKCS #1, without a passphrase.
        private_key: SecretString,
    },
}
