//! What a user's requests are authorised with: taken out of its sealed row for each attempt, and renewed once, however many ask.
//!
//! Who renews holds a turn in the row, so that neither two requests nor two hubs spend one refresh token; the others look at the row until
//! it changed. Renewing is a task of its own: a notebook that hangs up half-way must not lose what the wiki gave for a spent token.
//!
//! Which row that is depends on the settings: what its owner gave at the sign-in, or what they allowed the broker's own consumer.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::consent::Own;
use super::refusal::BrokerError;
use crate::access::{self, Revoke};
use crate::login::provider::{LoginError, Outgoing, Provider};
use crate::login::sign_in::{SignIn, auth_state_owner};
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

/// From here on a field takes a while to sign, in bytes.
const LARGE: usize = 256 << 10;

/// Credentials of all users at one provider. Cheap to clone.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) store: Store,
    pub(super) sign_in: Arc<SignIn>,
    pub(super) revoke: Arc<dyn Revoke>,
    pub(super) provider: Arc<str>,
    /// The broker's own consumer there; `None`: the one that people sign in by acts.
    pub(super) own: Option<Arc<Own>>,
    pub(super) tasks: TaskTracker,
}

/// A credential that may be used now.
pub(super) struct Credential {
    state: Value,
}

impl Credentials {
    /// By whose consumer is acted.
    fn acting(&self) -> Result<&Arc<dyn Provider>, BrokerError> {
        if let Some(own) = &self.own {
            return Ok(&own.registered.provider);
        }
        let named = self.sign_in.named(&self.provider).ok_or_else(|| {
            BrokerError::Provider(LoginError::Operator {
                reason: "broker.provider names no provider".to_owned(),
            })
        })?;
        Ok(&named.provider)
    }

    /// The consumer's key in rows.
    pub(super) fn consumer(&self) -> &str {
        self.own.as_ref().map_or("", |own| &own.client_id)
    }

    /// Why there is nothing to act with.
    pub(super) fn nothing(&self) -> BrokerError {
        match &self.own {
            Some(_) => BrokerError::NeedsGrant,
            None => BrokerError::NoCredential,
        }
    }

    /// Whether a refusal may mean that a credential ran out, or was taken back: then the wiki is asked.
    pub(super) fn can_renew(&self) -> bool {
        self.own.is_some() || self.acting().is_ok_and(|provider| provider.can_renew())
    }

    /// The credential that was read with the caller, or what is there in its place when it runs out.
    pub(super) async fn first(&self, caller: BrokerCaller) -> Result<Credential, BrokerError> {
        let row = caller.auth_state.ok_or_else(|| self.nothing())?;
        let state = self.open(&row).ok_or_else(|| self.nothing())?;
        if self.acting()?.runs_out(&state, MARGIN) {
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
                .auth_state_of(user_id, &self.provider, self.consumer())
                .await?
                .ok_or_else(|| self.nothing())?;
            let state = self.open(&row).ok_or_else(|| self.nothing())?;
            let is_refused = refused.is_some_and(|refused| refused.state == state);
            if !is_refused && !self.acting()?.runs_out(&state, MARGIN) {
                return Ok(Credential { state });
            }
            if let Some(turn) = self.store.begin_renewal(&row, RENEWAL).await? {
                let this = self.clone();
                let renewing = self
                    .tasks
                    .spawn(async move { this.renew(row, state, turn).await });
                let renewed = renewing
                    .await
                    .map_err(|_| BrokerError::Away("it could not be renewed".to_owned()))??;
                if let Some(credential) = renewed {
                    return Ok(credential);
                }
                // Its owner took it back, or gave another one: the row says which.
                continue;
            }
            if begun.elapsed() > PATIENCE {
                return Err(BrokerError::Away(
                    "the credential is being renewed".to_owned(),
                ));
            }
            sleep(LOOK).await;
        }
    }

    /// Has it renewed, and puts into the row what came of it. `None`: the row changed meanwhile, and what came of it is worth nothing.
    async fn renew(
        &self,
        row: AuthStateRow,
        state: Value,
        turn: i64,
    ) -> Result<Option<Credential>, BrokerError> {
        let provider = self.acting()?.clone();
        match provider.renew(&state).await {
            Ok(None) => {
                let is_ours = self.store.end_renewal(&row, turn, None).await?;
                Ok(is_ours.then_some(Credential { state }))
            }
            Ok(Some(renewed)) => {
                let owner = auth_state_owner(&row.issuer, &row.sub, &row.consumer);
                let sealed = self.sign_in.seal.seal(&owner, &renewed.to_string());
                let is_ours = self.store.end_renewal(&row, turn, Some(&sealed)).await?;
                info!(provider = %self.provider, "A credential was renewed for a request");
                Ok(is_ours.then_some(Credential { state: renewed }))
            }
            Err(LoginError::Over) if self.own.is_some() => {
                self.store.drop_allowed(&row).await?;
                info!(provider = %self.provider, "A permission to act was taken back at the wiki");
                Ok(None)
            }
            Err(LoginError::Over) => {
                if let Some(ended) = self.store.drop_auth_state(&row, &self.provider).await? {
                    info!(provider = %self.provider, "A credential was taken back; its owner is signed out");
                    access::forget(self.revoke.as_ref(), ended).await;
                }
                Err(BrokerError::NoCredential)
            }
            Err(error) => {
                self.store.end_renewal(&row, turn, None).await?;
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
        Ok(match (self.state_of(user_id).await?, self.acting()) {
            (Some(state), Ok(provider)) => provider.paws_environment(&state),
            _ => Vec::new(),
        })
    }

    /// What the user gave, opened.
    pub(super) async fn state_of(&self, user_id: i64) -> Result<Option<Value>, StoreError> {
        let row = self
            .store
            .auth_state_of(user_id, &self.provider, self.consumer())
            .await?;
        Ok(row.and_then(|row| self.open(&row)))
    }

    fn open(&self, row: &AuthStateRow) -> Option<Value> {
        let owner = auth_state_owner(&row.issuer, &row.sub, &row.consumer);
        let text = self.sign_in.seal.open(&owner, &row.sealed)?;
        serde_json::from_str(&text).ok()
    }

    /// What goes into `Authorization` of one attempt.
    pub(super) fn authorize(
        &self,
        credential: &Credential,
        request: &Outgoing<'_>,
    ) -> Result<SecretString, BrokerError> {
        let acting = self.acting()?;
        let sign = || acting.authorize(&credential.state, request);
        let is_large = request.form.iter().any(|(_, value)| value.len() > LARGE);
        let may_block = Handle::try_current()
            .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
        Ok(if is_large && may_block {
            // All of it is read several times: others' requests go on meanwhile.
            tokio::task::block_in_place(sign)?
        } else {
            sign()?
        })
    }
}
