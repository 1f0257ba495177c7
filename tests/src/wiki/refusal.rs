//! Refusals of Special:OAuth, in the wiki's words. Every one of them is HTTP 200 to a program.

use super::answer::Answer;
use super::php::{Json, escape_html};

/// Where the extension puts a link to its page of errors.
const CODE: &str = "\u{1}";

/// A refusal, by the key of its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) key: &'static str,
    text: String,
    code: &'static str,
}

/// How an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Raw,
    Json,
    Html,
}

impl Refusal {
    fn plain(key: &'static str, text: &str) -> Self {
        Self {
            key,
            text: text.to_owned(),
            code: "",
        }
    }

    fn coded(key: &'static str, text: &str, detail: &str, code: &'static str) -> Self {
        let text = format!(
            "{text}\n\n<span class=\"plainlinks mw-mwoautherror-details\">{detail}, {CODE}</span>"
        );
        Self { key, text, code }
    }

    pub(super) fn protocol(what: &str) -> Self {
        Self::plain(
            "mwoauth-oauth-exception",
            &format!("An error occurred in the OAuth protocol: {what}"),
        )
    }

    /// What the library says of a protocol error, for `api.php`.
    pub(super) fn without_preface(&self) -> &str {
        self.text
            .strip_prefix("An error occurred in the OAuth protocol: ")
            .unwrap_or(&self.text)
    }

    pub(super) fn owner_only(name: &str, key: &str) -> Self {
        Self::coded(
            "mwoauthserver-consumer-owner-only",
            &format!(
                "\"{name}\" is an owner-only Connected App. To fetch the access token, see [[Special:OAuthConsumerRegistration/update/{key}]]."
            ),
            "Consumer is owner-only",
            "E010",
        )
    }

    pub(super) fn used() -> Self {
        Self::coded(
            "mwoauthdatastore-request-token-already-used",
            "This request has already been completed and cannot be resubmitted.\nGo back to the application and try to connect your account again, or contact the application author.",
            "OAuth token already used",
            "E009",
        )
    }

    pub(super) fn not_found() -> Self {
        Self::coded(
            "mwoauthdatastore-request-token-not-found",
            "Sorry, something went wrong connecting this application.\nGo back and try to connect your account again, or contact the application author.",
            "OAuth token not found",
            "E004",
        )
    }

    pub(super) fn unknown_key() -> Self {
        Self::coded(
            "mwoauthserver-bad-consumer-key",
            "Sorry, something went wrong connecting this application.",
            "Unknown OAuth key",
            "E006",
        )
    }

    pub(super) fn not_usable(name: &str) -> Self {
        Self::coded(
            "mwoauthserver-bad-consumer",
            &format!(
                "\"{name}\" is not approved as a Connected App. Contact the application author for help."
            ),
            "Connected OAuth app not approved",
            "E005",
        )
    }

    pub(super) fn address() -> Self {
        Self::plain(
            "mwoauthdatastore-bad-source-ip",
            "The request came from an invalid IP address.",
        )
    }

    pub(super) fn no_token() -> Self {
        Self::plain(
            "mwoauthdatastore-bad-token",
            "No token was found matching your request.",
        )
    }

    pub(super) fn verifier() -> Self {
        Self::plain(
            "mwoauthdatastore-bad-verifier",
            "The verification code provided was not valid.",
        )
    }

    pub(super) fn no_grant() -> Self {
        Self::plain(
            "mwoauthdatastore-access-token-not-found",
            "No approved grant was found for that authorization token.",
        )
    }

    pub(super) fn no_callback() -> Self {
        Self::plain(
            "mwoauthdatastore-callback-not-found",
            "OAuth callback URL not found in cache. This is probably an error in how the application makes requests to the server.",
        )
    }

    pub(super) fn only_oob() -> Self {
        Self::plain(
            "mwoauth-callback-not-oob",
            "oauth_callback must be set, and must be set to \"oob\" (case-sensitive)",
        )
    }

    pub(super) fn no_prefix() -> Self {
        Self::plain(
            "mwoauth-callback-not-oob-or-prefix",
            "oauth_callback must be set, and must be set to \"oob\" (case-sensitive), or the configured callback must be a prefix of the supplied callback.",
        )
    }

    pub(super) fn read_only() -> Self {
        Self::plain(
            "mwoauth-db-readonly",
            "The OAuth database is temporarily locked. Please try again in a few minutes.",
        )
    }

    pub(super) fn no_user() -> Self {
        Self::plain(
            "mwoauth-invalid-authorization-invalid-user",
            "The authorization headers in your request are for a user that does not exist here",
        )
    }

    pub(super) fn locked() -> Self {
        Self::plain(
            "mwoauth-invalid-authorization-blocked-user",
            "The authorization headers in your request are for a user who is blocked",
        )
    }

    pub(super) fn other_wiki(wiki: &str) -> Self {
        Self::plain(
            "mwoauth-invalid-authorization-wrong-wiki",
            &format!("The authorization headers in your request are not valid for {wiki}"),
        )
    }

    pub(super) fn not_approved(name: &str) -> Self {
        Self::plain(
            "mwoauth-invalid-authorization-not-approved",
            &format!(
                "The app that you are trying to connect seems to be set up incorrectly. Contact the author of \"{name}\" for help."
            ),
        )
    }

    pub(super) fn no_verifier_shown() -> Self {
        Self::coded(
            "mwoauth-bad-request-missing-params",
            "Sorry, something went wrong configuring this connected application.",
            "OAuth missing parameters",
            "E001",
        )
    }

    pub(super) fn unknown_page() -> Self {
        Self::coded(
            "mwoauth-bad-request-invalid-action",
            "Sorry, something went wrong, you'll need to contact the application author for help with this.",
            "Unknown URL",
            "E002",
        )
    }

    /// Escaped, but for the link.
    fn html(&self) -> String {
        let link = format!(
            "<a class=\"external\" href=\"https://www.mediawiki.org/wiki/Help:OAuth/Errors#{code}\">{code}</a>",
            code = self.code
        );
        escape_html(&self.text).replace(CODE, &link)
    }

    /// As plain text.
    pub(super) fn text(&self) -> String {
        self.text.replace(CODE, self.code)
    }

    pub(super) fn answer(&self, format: Format) -> Answer {
        match format {
            Format::Raw => Answer::raw(format!("Error: {}", self.html())),
            Format::Json => {
                let body = Json::map([
                    ("error", self.key.into()),
                    ("message", self.text().as_str().into()),
                ]);
                Answer::json(200, &body)
            }
            Format::Html => Answer::page(200, "Application Connection Error", &self.html()),
        }
    }
}
