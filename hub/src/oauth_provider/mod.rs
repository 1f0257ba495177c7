//! We are the OAuth provider for notebook servers, in four steps:
//!
//! 1. A launch gets a client whose secret is the server's own token ([`register_client`]), and is told both in its environment
//!    ([`environment`]).
//! 2. A visitor without a login there is sent to us; we look who they are and whether they may enter (`authorize`).
//! 3. They go back with a code, which works once, for five minutes, for that client, address and PKCE challenge.
//! 4. The server exchanges it for a token (`exchange`) and asks the API whose it is.
//!
//! **Invariant:** nothing here knows HTTP; codes and tokens are kept as hashes.

pub mod authorize;
mod environment;
pub mod exchange;

use holt_spec::names::{server_client_id, server_prefix};

pub use self::environment::{EnvInput, environment};
use crate::secret;
use crate::store::oauth::NewClient;
use crate::store::{Store, StoreError};

/// The launch a client is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerClient {
    /// The server.
    pub server_id: i64,
    /// Its launch.
    pub launch: String,
    /// Its owner.
    pub user_id: i64,
    /// The owner's name.
    pub user_name: String,
    /// Empty for the default server.
    pub server_name: String,
}

/// What a server must know to be one of ours. Not `Debug`: the token is secret.
#[derive(Clone)]
pub struct ServerSecrets {
    /// The server's own token, and its secret as a client.
    pub api_token: String,
    /// Its id as a client.
    pub client_id: String,
}

/// The scopes of a server's own token.
const SERVER_SCOPES: [&str; 2] = ["users:activity!user", "access:servers!server"];

/// Path of a server's OAuth callback.
#[must_use]
pub fn callback(user: &str, server: &str) -> String {
    format!("{}oauth_callback", server_prefix(user, server))
}

/// Makes a launch's client and token. Called again, it makes a new token; what that server had before ends.
///
/// # Errors
/// When the database does not answer.
pub async fn register_client(
    store: &Store,
    server: &ServerClient,
) -> Result<ServerSecrets, StoreError> {
    let secrets = ServerSecrets {
        api_token: secret::random_token(),
        client_id: server_client_id(&server.user_name, &server.server_name),
    };
    store
        .replace_client(&NewClient {
            id: &secrets.client_id,
            server_id: server.server_id,
            user_id: server.user_id,
            launch: &server.launch,
            token_hash: &secret::hash(&secrets.api_token),
            redirect_uri: &callback(&server.user_name, &server.server_name),
            scopes: &SERVER_SCOPES.map(str::to_owned),
            note: "Server",
        })
        .await?;
    Ok(secrets)
}
