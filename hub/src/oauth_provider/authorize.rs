//! Whether a visitor may enter a server, and the code they go back with.
//!
//! Order matters: until client and address are known to be a pair, nothing is ever sent to the address.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::access::Caller;
use crate::access::scopes::Target;
use crate::secret;
use crate::store::oauth::{NewCode, OauthClient};
use crate::store::{Store, StoreError};

/// What a token for a visitor holds, with bare filters.
pub const VISITOR_SCOPES: [&str; 3] = [
    "access:servers!server",
    "read:users:name!user",
    "read:users:groups!user",
];

/// The query of an authorize request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// `client_id`.
    pub client_id: Option<String>,
    /// `redirect_uri`.
    pub redirect_uri: Option<String>,
    /// `response_type`.
    pub response_type: Option<String>,
    /// `state`, given back as it came.
    pub state: Option<String>,
    /// `scope`.
    pub scope: Option<String>,
    /// `code_challenge`.
    pub code_challenge: Option<String>,
    /// `code_challenge_method`.
    pub code_challenge_method: Option<String>,
}

/// A question that is in order; it can be granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who asks.
    pub client: OauthClient,
    /// The person must be asked first.
    pub confirm: bool,
    state: Option<String>,
    challenge: Option<String>,
}

/// Why nobody goes back with a code.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizeError {
    /// Client and address are no pair of ours: say so here, send nothing there.
    #[error("{0}")]
    Invalid(&'static str),
    /// The client is told.
    #[error("{description}")]
    ToClient {
        /// Where to, with the error in its query.
        location: String,
        /// For people.
        description: &'static str,
    },
    /// The person may not enter.
    #[error("you have no access to the notebook server of {owner}")]
    NoAccess {
        /// Whose server it is.
        owner: String,
    },
    /// Their session ended in between.
    #[error("you signed out meanwhile")]
    SignedOut,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Query {
    /// Reads it from a query's fields; a field that comes twice has no one meaning.
    ///
    /// # Errors
    /// [`AuthorizeError::Invalid`].
    pub fn read<'a>(
        fields: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, AuthorizeError> {
        let mut query = Self::default();
        for (name, value) in fields {
            let slot = match name {
                "client_id" => &mut query.client_id,
                "redirect_uri" => &mut query.redirect_uri,
                "response_type" => &mut query.response_type,
                "state" => &mut query.state,
                "scope" => &mut query.scope,
                "code_challenge" => &mut query.code_challenge,
                "code_challenge_method" => &mut query.code_challenge_method,
                _ => continue,
            };
            if slot.replace(value.to_owned()).is_some() {
                return Err(AuthorizeError::Invalid(
                    "a parameter of the sign-in request comes twice",
                ));
            }
        }
        Ok(query)
    }
}

/// Checks a request of a signed-in person.
///
/// # Errors
/// [`AuthorizeError`].
pub async fn check(store: &Store, caller: &Caller, query: &Query) -> Result<Asked, AuthorizeError> {
    let unknown = AuthorizeError::Invalid(
        "the server that sent you here is not known, or no longer runs: go to your home page and start it again",
    );
    let Some(id) = &query.client_id else {
        return Err(AuthorizeError::Invalid("client_id is missing"));
    };
    let Some(client) = store.client(id).await? else {
        return Err(unknown);
    };
    if query
        .redirect_uri
        .as_ref()
        .is_some_and(|uri| *uri != client.redirect_uri)
    {
        return Err(AuthorizeError::Invalid("redirect_uri is not this server's"));
    }
    let refuse = |error, description| {
        Err(to_client(
            &client,
            query.state.as_deref(),
            error,
            description,
        ))
    };
    match query.response_type.as_deref() {
        Some("code") => {}
        None => return refuse("invalid_request", "response_type is missing"),
        Some(_) => return refuse("unsupported_response_type", "response_type must be code"),
    }
    let challenge = match (
        &query.code_challenge,
        query.code_challenge_method.as_deref(),
    ) {
        (None, None) => None,
        (None, Some(_)) => return refuse("invalid_request", "code_challenge is missing"),
        (Some(challenge), Some("S256")) if is_challenge(challenge) => Some(challenge.clone()),
        (Some(_), Some("S256")) => {
            return refuse(
                "invalid_request",
                "code_challenge must have 43 to 128 characters",
            );
        }
        // No client in use sends `plain`, and it protects nothing.
        (Some(_), _) => return refuse("invalid_request", "code_challenge_method must be S256"),
    };
    if query.scope.as_deref().is_some_and(|asked| {
        !asked
            .split_whitespace()
            .all(|scope| is_allowed(scope, &client))
    }) {
        return refuse("invalid_scope", "a scope is not allowed for this server");
    }
    if !caller.rights.allows(
        "access:servers",
        Target::Server(&client.owner_name, &client.server_name),
    ) {
        return Err(AuthorizeError::NoAccess {
            owner: client.owner_name,
        });
    }
    let confirm = client.owner_id != caller.user.id
        && !store.has_token_from(caller.user.id, &client.id).await?;
    Ok(Asked {
        confirm,
        state: query.state.clone(),
        challenge,
        client,
    })
}

/// Makes the code; returns where the person goes with it.
///
/// # Errors
/// Their session ended in between, or the database failed.
pub async fn grant(
    store: &Store,
    caller: &Caller,
    asked: &Asked,
) -> Result<String, AuthorizeError> {
    let code = secret::random_token();
    let session_id = caller
        .session_id
        .as_deref()
        .ok_or(AuthorizeError::SignedOut)?;
    let kept = store
        .create_code(&NewCode {
            hash: &secret::hash(&code),
            client_id: &asked.client.id,
            user_id: caller.user.id,
            session_id,
            redirect_uri: &asked.client.redirect_uri,
            scopes: &VISITOR_SCOPES.map(str::to_owned),
            challenge: asked.challenge.as_deref(),
        })
        .await?;
    if !kept {
        return Err(AuthorizeError::SignedOut);
    }
    let mut fields = vec![("code", code.as_str())];
    fields.extend(asked.state.as_deref().map(|state| ("state", state)));
    Ok(with_query(&asked.client.redirect_uri, &fields))
}

/// Where the person goes who says no.
#[must_use]
pub fn deny(asked: &Asked) -> String {
    let mut fields = vec![
        ("error", "access_denied"),
        ("error_description", "You did not agree."),
    ];
    fields.extend(asked.state.as_deref().map(|state| ("state", state)));
    with_query(&asked.client.redirect_uri, &fields)
}

fn to_client(
    client: &OauthClient,
    state: Option<&str>,
    error: &'static str,
    description: &'static str,
) -> AuthorizeError {
    let mut fields = vec![("error", error), ("error_description", description)];
    fields.extend(state.map(|state| ("state", state)));
    AuthorizeError::ToClient {
        location: with_query(&client.redirect_uri, &fields),
        description,
    }
}

fn is_challenge(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~'))
}

/// Clients of servers may ask for no more than they get anyway.
fn is_allowed(scope: &str, client: &OauthClient) -> bool {
    let server = format!(
        "access:servers!server={}/{}",
        client.owner_name, client.server_name
    );
    scope == "identify" || scope == server || VISITOR_SCOPES.contains(&scope)
}

/// What stands as itself in a query's value: the unreserved characters of RFC 3986.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn with_query(uri: &str, fields: &[(&str, &str)]) -> String {
    let query: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, VALUE)))
        .collect();
    format!("{uri}?{}", query.join("&"))
}
