//! What a user's requests are authorised with: taken out of its sealed row for each attempt, and renewed once, however many ask.
//!
//! Who renews holds a turn in the row, so that neither two requests nor two hubs spend one refresh token; the others look at the row until
//! it changed. Renewing is a task of its own: a notebook that hangs up half-way must not lose what the wiki gave for a spent token.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::refusal::BrokerError;
use crate::access::{self, Revoke};
use crate::login::provider::{LoginError, Outgoing};
use crate::login::sign_in::{Registered, SignIn, auth_state_owner};
use crate::store::auth_states::AuthStateRow;
use crate::store::broker::BrokerCaller;
use crate::store::{Store, StoreError};

/// A credential that runs out so soon is renewed first.
const MARGIN: Duration = Duration::from_secs(10);
/// How long a turn is held: longer than a provider is waited for.
const RENEWAL: Duration = Duration::from_secs(90);
/// How long a request waits for a credential that somebody renews.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the row.
const LOOK: Duration = Duration::from_millis(50);

/// Credentials of all users at one provider. Cheap to clone.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) store: Store,
    pub(super) sign_in: Arc<SignIn>,
    pub(super) revoke: Arc<dyn Revoke>,
    pub(super) provider: Arc<str>,
    pub(super) tasks: TaskTracker,
}

/// A credential that may be used now.
pub(super) struct Credential {
    state: Value,
}

impl Credentials {
    fn registered(&self) -> Result<&Registered, BrokerError> {
        self.sign_in.named(&self.provider).ok_or_else(|| {
            BrokerError::Provider(LoginError::Operator {
                reason: "broker.provider names no provider".to_owned(),
            })
        })
    }

    /// Whether a refusal may mean that a credential ran out.
    pub(super) fn can_renew(&self) -> bool {
        self.registered()
            .is_ok_and(|registered| registered.provider.can_renew())
    }

    /// The credential that was read with the caller, or what is there in its place when it runs out.
    pub(super) async fn first(&self, caller: BrokerCaller) -> Result<Credential, BrokerError> {
        let row = caller.auth_state.ok_or(BrokerError::NoCredential)?;
        let state = self.open(&row).ok_or(BrokerError::NoCredential)?;
        if self.registered()?.provider.runs_out(&state, MARGIN) {
            return self.of(caller.user_id, None).await;
        }
        Ok(Credential { state })
    }

    /// The user's credential; not `refused`, if the wiki took that no more.
    pub(super) async fn of(
        &self,
        user_id: i64,
        refused: Option<&Credential>,
    ) -> Result<Credential, BrokerError> {
        let begun = Instant::now();
        loop {
            let row = self
                .store
                .auth_state_of(user_id, &self.provider)
                .await?
                .ok_or(BrokerError::NoCredential)?;
            let state = self.open(&row).ok_or(BrokerError::NoCredential)?;
            let is_refused = refused.is_some_and(|refused| refused.state == state);
            if !is_refused && !self.registered()?.provider.runs_out(&state, MARGIN) {
                return Ok(Credential { state });
            }
            if let Some(turn) = self.store.begin_renewal(&row, RENEWAL).await? {
                let this = self.clone();
                let renewing = self
                    .tasks
                    .spawn(async move { this.renew(row, state, turn).await });
                return renewing
                    .await
                    .map_err(|_| BrokerError::Away("it could not be renewed".to_owned()))?;
            }
            if begun.elapsed() > PATIENCE {
                return Err(BrokerError::Away(
                    "the credential is being renewed".to_owned(),
                ));
            }
            sleep(LOOK).await;
        }
    }

    /// Has it renewed, and puts into the row what came of it.
    async fn renew(
        &self,
        row: AuthStateRow,
        state: Value,
        turn: i64,
    ) -> Result<Credential, BrokerError> {
        let provider = self.registered()?.provider.clone();
        let account = (row.issuer.as_str(), row.sub.as_str());
        match provider.renew(&state).await {
            Ok(None) => {
                self.store.end_renewal(account, turn, None).await?;
                Ok(Credential { state })
            }
            Ok(Some(renewed)) => {
                let owner = auth_state_owner(&row.issuer, &row.sub);
                let sealed = self.sign_in.seal.seal(&owner, &renewed.to_string());
                self.store.end_renewal(account, turn, Some(&sealed)).await?;
                info!(provider = %self.provider, "A credential was renewed for a request");
                Ok(Credential { state: renewed })
            }
            Err(LoginError::Over) => {
                if let Some(ended) = self.store.drop_auth_state(&row, &self.provider).await? {
                    info!(provider = %self.provider, "A credential was taken back; its owner is signed out");
                    access::forget(self.revoke.as_ref(), ended).await;
                }
                Err(BrokerError::NoCredential)
            }
            Err(error) => {
                self.store.end_renewal(account, turn, None).await?;
                warn!(provider = %self.provider, error = %crate::error_chain(&error), "A credential could not be renewed");
                Err(error.into())
            }
        }
    }

    /// The user's credential under PAWS's names; nothing where there is none.
    pub(super) async fn paws_environment(
        &self,
        user_id: i64,
    ) -> Result<Vec<(&'static str, SecretString)>, StoreError> {
        let Some(row) = self.store.auth_state_of(user_id, &self.provider).await? else {
            return Ok(Vec::new());
        };
        let state = self.open(&row);
        let registered = self.sign_in.named(&self.provider);
        Ok(match (state, registered) {
            (Some(state), Some(registered)) => registered.provider.paws_environment(&state),
            _ => Vec::new(),
        })
    }

    fn open(&self, row: &AuthStateRow) -> Option<Value> {
        let owner = auth_state_owner(&row.issuer, &row.sub);
        let text = self.sign_in.seal.open(&owner, &row.sealed)?;
        serde_json::from_str(&text).ok()
    }

    /// What goes into `Authorization` of one attempt.
    pub(super) fn authorize(
        &self,
        credential: &Credential,
        request: &Outgoing<'_>,
    ) -> Result<SecretString, BrokerError> {
        let provider = &self.registered()?.provider;
        Ok(provider.authorize(&credential.state, request)?)
    }
}
