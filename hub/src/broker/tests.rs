//! Credentials that run out, with several who ask at once, and a provider in memory for other rooms' tests.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::credentials::{Credential, Credentials};
use super::*;
use crate::login::provider::Outgoing;
use crate::store::auth_states::AuthStateRow;

use self::pretend::{PROVIDER, Pretend, person, sign_in};

/// Forgets nothing: nobody is signed out here.
struct NoRevoke;

#[async_trait::async_trait]
impl Revoke for NoRevoke {
    async fn revoke(&self, _sessions: Vec<String>, _tokens: Vec<String>) {}
}

/// A provider that gives and renews tokens, and a broker that uses it.
pub(crate) mod pretend {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;
    use secrecy::SecretString;
    use serde_json::{Value, json};
    use tokio_util::task::TaskTracker;

    use super::super::{Broker, BrokerSettings, Dial, Limits, Site};
    use super::NoRevoke;
    use crate::login::provider::{Begun, CameBack, LoginError, Outgoing, Person, Provider, Query};
    use crate::login::sign_in::{Registered, SignIn, auth_state_owner};
    use crate::secret::seal::Seal;
    use crate::store::Store;
    use crate::store::identities::Arrival;

    pub(crate) const PROVIDER: &str = "wiki";
    const ISSUER: &str = "https://wiki.example";

    /// Tokens are called `old` until they are renewed.
    #[derive(Default)]
    pub(crate) struct Pretend {
        pub(crate) renewed: AtomicU32,
        /// The person took back what they allowed.
        pub(crate) is_over: AtomicBool,
    }

    #[async_trait]
    impl Provider for Pretend {
        async fn begin(&self, _callback: &str) -> Result<Begun, LoginError> {
            Err(LoginError::Denied)
        }

        fn came_back(&self, _query: &Query) -> CameBack {
            CameBack::Nothing
        }

        async fn finish(
            &self,
            _callback: &str,
            _kept: &SecretString,
            _query: &Query,
        ) -> Result<Person, LoginError> {
            Err(LoginError::Denied)
        }

        async fn renew(&self, _auth_state: &Value) -> Result<Option<Value>, LoginError> {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if self.is_over.load(Ordering::SeqCst) {
                return Err(LoginError::Over);
            }
            let count = self.renewed.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(Some(json!({ "access_token": format!("new {count}") })))
        }

        fn authorize(
            &self,
            auth_state: &Value,
            _request: &Outgoing<'_>,
        ) -> Result<SecretString, LoginError> {
            Ok(auth_state["access_token"].to_string().into())
        }

        fn runs_out(&self, auth_state: &Value, _margin: Duration) -> bool {
            auth_state["access_token"] == "old"
        }

        fn can_renew(&self) -> bool {
            true
        }
    }

    /// Signing in by it alone.
    pub(crate) fn sign_in(provider: Arc<Pretend>, keys: &str) -> Arc<SignIn> {
        let seal = Arc::new(Seal::from_text(keys).expect("a key"));
        Arc::new(SignIn {
            providers: vec![Registered {
                name: PROVIDER.to_owned(),
                label: PROVIDER.to_owned(),
                callback_path: "/hub/oauth_callback".to_owned(),
                decides_admins: false,
                provider,
            }],
            ..SignIn::local(seal)
        })
    }

    /// A user who has signed in by it.
    pub(crate) async fn person(store: &Store, sign_in: &SignIn, name: &str) -> i64 {
        let wanted = [name.to_owned()];
        let user = store
            .arrive(Arrival {
                issuer: ISSUER,
                sub: "7",
                provider: PROVIDER,
                name,
                wanted: &wanted,
                admin: None,
                is_confirmed: true,
                home: None,
            })
            .await
            .expect("in memory");
        let state = json!({ "access_token": "old" }).to_string();
        let sealed = sign_in
            .seal
            .seal(&auth_state_owner(ISSUER, "7", ""), &state);
        store
            .keep_auth_state(ISSUER, "7", &sealed)
            .await
            .expect("in memory");
        user.id
    }

    /// A broker whose provider is pretended, for other rooms.
    pub(crate) struct Pretence {
        pub(crate) broker: Broker,
        sign_in: Arc<SignIn>,
    }

    impl Pretence {
        pub(crate) fn new(store: &Store) -> Self {
            let sign_in = sign_in(Arc::new(Pretend::default()), &Seal::new_key());
            Self {
                broker: broker(store, sign_in.clone(), Dial::default()),
                sign_in,
            }
        }

        /// Another hub's broker, which finds the wiki at an origin.
        pub(crate) fn another(&self, store: &Store, origin: &str) -> Broker {
            let dial = Dial::parse(&[format!("*={origin}")]).expect("an origin");
            broker(store, self.sign_in.clone(), dial)
        }

        /// A user who has signed in.
        pub(crate) async fn person(&self, store: &Store, name: &str) -> i64 {
            person(store, &self.sign_in, name).await
        }
    }

    /// A broker for people of this provider.
    fn broker(store: &Store, sign_in: Arc<SignIn>, dial: Dial) -> Broker {
        let settings = BrokerSettings {
            provider: PROVIDER.to_owned(),
            label: PROVIDER.to_owned(),
            manage_url: String::new(),
            asks_for: Vec::new(),
            sites: vec![Site::parse("wiki.example").expect("a site")],
            matrix: None,
            dial,
            user_agent: "Holt/1 (https://hub.example)".to_owned(),
            limits: Limits {
                per_second: 10,
                burst: 10,
                concurrent: 10,
            },
            body_bytes: 1 << 20,
            timeout: Duration::from_secs(5),
            paws_environment: false,
        };
        Broker::new(
            store.clone(),
            sign_in,
            Arc::new(NoRevoke),
            settings,
            None,
            TaskTracker::new(),
        )
        .expect("a client can be made")
    }
}

/// As two hubs have them where a consumer of the broker's own acts.
fn two_hubs_apart(store: &Store, provider: &Arc<Pretend>, keys: &str) -> [Credentials; 2] {
    two_hubs(store, provider, keys).map(|credentials| {
        let registered = credentials.sign_in.providers[0].clone();
        Credentials {
            own: Some(Arc::new(Own {
                client_id: "acts".to_owned(),
                registered,
            })),
            ..credentials
        }
    })
}

/// As two hubs have them: one database, nothing else in common but the provider.
fn two_hubs(store: &Store, provider: &Arc<Pretend>, keys: &str) -> [Credentials; 2] {
    [(); 2].map(|()| Credentials {
        store: store.clone(),
        sign_in: sign_in(provider.clone(), keys),
        revoke: Arc::new(NoRevoke),
        provider: Arc::from(PROVIDER),
        own: None,
        tasks: TaskTracker::new(),
    })
}

fn shown(credentials: &Credentials, credential: &Credential) -> String {
    let outgoing = Outgoing {
        method: "GET",
        url: &"https://wiki.example/w/api.php"
            .parse()
            .expect("an address"),
        form: &[],
    };
    let header = credentials.authorize(credential, &outgoing);
    header.expect("a header").expose_secret().to_owned()
}

#[tokio::test]
async fn two_hubs_renew_a_credential_once_however_many_ask() -> Result<(), BrokerError> {
    let store = Store::in_memory().await?;
    let provider = Arc::new(Pretend::default());
    let keys = secret::seal::Seal::new_key();
    let [one, other] = two_hubs(&store, &provider, &keys);
    let user = person(&store, &one.sign_in, "Ada").await;
    let asking = (0..20).map(|place| {
        let hub = if place % 2 == 0 { &one } else { &other };
        async move {
            hub.of(user, None)
                .await
                .map(|credential| shown(hub, &credential))
        }
    });
    for header in futures_util::future::join_all(asking).await {
        assert_eq!(header?, "\"new 1\"");
    }
    // Refused though it looks good: once more, for all who were refused with the same.
    let refused = one.of(user, None).await?;
    let asking = (0..20).map(|place| {
        let hub = if place % 2 == 0 { &one } else { &other };
        let refused = &refused;
        async move {
            hub.of(user, Some(refused))
                .await
                .map(|credential| shown(hub, &credential))
        }
    });
    for header in futures_util::future::join_all(asking).await {
        assert_eq!(header?, "\"new 2\"");
    }
    Ok(())
}

#[tokio::test]
async fn who_hangs_up_does_not_lose_what_a_spent_token_gave() -> Result<(), BrokerError> {
    let store = Store::in_memory().await?;
    let provider = Arc::new(Pretend::default());
    let [one, other] = two_hubs(&store, &provider, &secret::seal::Seal::new_key());
    let user = person(&store, &one.sign_in, "Ada").await;
    let hung_up = tokio::time::timeout(Duration::from_millis(50), one.of(user, None)).await;
    assert!(hung_up.is_err());
    let credential = other.of(user, None).await?;
    assert_eq!(shown(&other, &credential), "\"new 1\"");
    Ok(())
}

#[tokio::test]
async fn a_permission_that_was_taken_back_is_over_for_good() -> Result<(), BrokerError> {
    let store = Store::in_memory().await?;
    let provider = Arc::new(Pretend::default());
    let [one, _] = two_hubs(&store, &provider, &secret::seal::Seal::new_key());
    let user = person(&store, &one.sign_in, "Ada").await;
    provider
        .is_over
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let over = one.of(user, None).await;
    assert!(matches!(over, Err(BrokerError::NoCredential)));
    let row: Option<AuthStateRow> = store.auth_state_of(user, PROVIDER, "").await?;
    assert_eq!(row, None);
    Ok(())
}

/// Lets a user allow the consumer that acts, in a session of their own, with a token that runs out at once.
async fn allow(store: &Store, hub: &Credentials, user: i64) -> Result<(), BrokerError> {
    use crate::login::sign_in::auth_state_owner;
    use crate::store::auth_states::Allowed;
    use crate::store::sessions::Origin;

    let hour = Duration::from_secs(3600);
    let (session, origin) = (secret::random_token(), Origin::default());
    store
        .create_session(user, &session, &session, hour, origin)
        .await?;
    let identity = store.identities_of(user).await?.remove(0);
    let owner = auth_state_owner(&identity.issuer, &identity.sub, "acts");
    let sealed = hub.sign_in.seal.seal(&owner, r#"{"access_token":"old"}"#);
    let allowed = store
        .allow_consumer(Allowed {
            user_id: user,
            session: &session,
            issuer: &identity.issuer,
            sub: &identity.sub,
            consumer: "acts",
            sealed: &sealed,
        })
        .await?;
    assert!(allowed);
    Ok(())
}

#[tokio::test]
async fn what_is_withdrawn_while_it_is_renewed_is_used_by_nobody() -> Result<(), BrokerError> {
    let store = Store::in_memory().await?;
    let provider = Arc::new(Pretend::default());
    let [one, other] = two_hubs_apart(&store, &provider, &secret::seal::Seal::new_key());
    let user = person(&store, &one.sign_in, "Ada").await;
    let needs =
        |answer: &Result<Credential, BrokerError>| matches!(answer, Err(BrokerError::NeedsGrant));
    assert!(needs(&one.of(user, None).await));
    allow(&store, &one, user).await?;
    let withdraw = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        store.withdraw_consumers(user).await
    };
    let (renewed, waited, withdrawn) =
        tokio::join!(one.of(user, None), other.of(user, None), withdraw);
    assert!(needs(&renewed) && needs(&waited) && withdrawn?);
    assert!(store.auth_state_of(user, PROVIDER, "acts").await?.is_none());
    // And given again meanwhile, the new one is used.
    allow(&store, &one, user).await?;
    let again = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        store.withdraw_consumers(user).await?;
        allow(&store, &other, user).await
    };
    let (renewed, given) = tokio::join!(one.of(user, None), again);
    given?;
    assert_eq!(shown(&one, &renewed?), "\"new 3\"");
    // What signing in gave was never touched.
    assert!(store.auth_state_of(user, PROVIDER, "").await?.is_some());
    Ok(())
}

#[tokio::test]
async fn what_is_taken_back_at_the_wiki_signs_nobody_out() -> Result<(), BrokerError> {
    let store = Store::in_memory().await?;
    let provider = Arc::new(Pretend::default());
    let [one, _] = two_hubs_apart(&store, &provider, &secret::seal::Seal::new_key());
    let user = person(&store, &one.sign_in, "Ada").await;
    allow(&store, &one, user).await?;
    provider
        .is_over
        .store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(matches!(
        one.of(user, None).await,
        Err(BrokerError::NeedsGrant)
    ));
    assert_eq!(store.sessions_of(user).await?.len(), 1);
    assert!(store.auth_state_of(user, PROVIDER, "").await?.is_some());
    Ok(())
}
