//! Where a provider's endpoints are and which keys it signs with: asked at first use, kept for some time, asked anew when keys change.
//!
//! Whoever needs an answer that is already on its way waits for that one, so a rush of people asks once, and nobody waits longer
//! than one asking takes. **Invariant:** a signature with an unknown key makes us ask at most once a minute, whoever sends it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use oauth2::AuthType;
use openidconnect::IssuerUrl;
use openidconnect::core::{CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{answer, is_web, operator};
use crate::login::provider::LoginError;
use crate::login::wire::Wire;

/// How long an answer is good for.
const KEPT: Duration = Duration::from_secs(60 * 60);
/// How often unknown keys make us ask.
const BETWEEN_ROTATIONS: Duration = Duration::from_secs(60);

/// A provider, as it can be used.
#[derive(Debug)]
pub(super) struct Endpoints {
    /// Who vouches for accounts, byte for byte as it calls itself.
    pub(super) issuer: String,
    pub(super) authorize: Url,
    pub(super) token: Url,
    pub(super) userinfo: Option<Url>,
    pub(super) auth_type: AuthType,
    /// How an id_token is proven; without it, none is looked at.
    pub(super) proof: Option<Proof>,
    /// Whether it names itself in every callback (RFC 9207).
    pub(super) always_names_itself: bool,
}

/// What an id_token is held against.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) issuer: IssuerUrl,
    pub(crate) algorithms: Vec<CoreJwsSigningAlgorithm>,
    pub(crate) keys: CoreJsonWebKeySet,
}

impl Endpoints {
    /// Whether a callback that names this issuer, or none, can be this provider's.
    pub(super) fn may_be_named(&self, issuer: Option<&str>) -> bool {
        let Some(issuer) = issuer else {
            return !self.always_names_itself;
        };
        // What a provider without discovery calls itself need not be in the settings, but it lies where the browser was sent.
        issuer == self.issuer
            || self.proof.is_none()
                && Url::parse(issuer).is_ok_and(|url| url.origin() == self.authorize.origin())
    }
}

/// One provider that is found by its issuer.
pub(super) struct Discovery {
    inner: Arc<Inner>,
}

struct Inner {
    wire: Wire,
    issuer: Url,
    // Never held while anything is awaited.
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    found: Option<(Instant, Arc<Endpoints>)>,
    /// Weak: an asking that everybody left ends there, and the next who comes begins a new one.
    asking: Option<WeakShared<Asking>>,
    rotated: Option<Instant>,
}

type Asking = BoxFuture<'static, Result<Arc<Endpoints>, LoginError>>;

/// What we read of a discovery document.
#[derive(Deserialize)]
struct Document {
    issuer: IssuerUrl,
    authorization_endpoint: Url,
    token_endpoint: Url,
    userinfo_endpoint: Option<Url>,
    jwks_uri: Url,
    id_token_signing_alg_values_supported: Option<Vec<Value>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Discovery {
    pub(super) fn new(wire: Wire, issuer: Url) -> Result<Self, LoginError> {
        if issuer.query().is_some() || issuer.fragment().is_some() {
            return Err(operator("an issuer has neither a query nor a fragment"));
        }
        Ok(Self {
            inner: Arc::new(Inner {
                wire,
                issuer,
                kept: Mutex::default(),
            }),
        })
    }

    /// What is known, asked for if nothing is.
    pub(super) async fn endpoints(&self) -> Result<Arc<Endpoints>, LoginError> {
        let asking = {
            let mut kept = self.inner.kept();
            match &kept.found {
                Some((at, endpoints)) if at.elapsed() < KEPT => return Ok(Arc::clone(endpoints)),
                _ => self.ask(&mut kept),
            }
        };
        asking.await
    }

    /// What replaced `seen`; `None` when it was tried a moment ago.
    pub(super) async fn newer_than(
        &self,
        seen: &Arc<Endpoints>,
    ) -> Result<Option<Arc<Endpoints>>, LoginError> {
        let asking = {
            let mut kept = self.inner.kept();
            match &kept.found {
                Some((_, found)) if !Arc::ptr_eq(found, seen) => {
                    return Ok(Some(Arc::clone(found)));
                }
                _ => {}
            }
            let on_its_way = kept
                .asking
                .as_ref()
                .is_some_and(|weak| weak.upgrade().is_some());
            let was_tried = kept
                .rotated
                .is_some_and(|at| at.elapsed() < BETWEEN_ROTATIONS);
            if was_tried && !on_its_way {
                return Ok(None);
            }
            if !on_its_way {
                kept.rotated = Some(Instant::now());
            }
            self.ask(&mut kept)
        };
        asking.await.map(Some)
    }

    fn ask(&self, kept: &mut Kept) -> Shared<Asking> {
        if let Some(asking) = kept.asking.as_ref().and_then(WeakShared::upgrade) {
            return asking;
        }
        let inner = Arc::clone(&self.inner);
        let asking = async move {
            let found = discover(&inner.wire, &inner.issuer).await.map(Arc::new);
            let mut kept = inner.kept();
            kept.asking = None;
            if let Ok(endpoints) = &found {
                kept.found = Some((Instant::now(), Arc::clone(endpoints)));
            }
            found
        };
        let asking = asking.boxed().shared();
        kept.asking = asking.downgrade();
        asking
    }
}

impl Inner {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn discover(wire: &Wire, issuer: &Url) -> Result<Endpoints, LoginError> {
    let written = issuer.as_str().trim_end_matches('/');
    let address = format!("{written}/.well-known/openid-configuration");
    let address = Url::parse(&address).map_err(|_| operator("the issuer is no address"))?;
    let document: Document = answer::document(wire, &address, "the discovery document").await?;
    // A slash at the end is part of some issuers' names, and whoever writes settings does not see which. It cannot lead elsewhere.
    if document.issuer.trim_end_matches('/') != written {
        return Err(LoginError::Operator {
            reason: format!(
                "at {written} the issuer calls itself {:?}: write that as issuer",
                document.issuer.as_str()
            ),
        });
    }
    let urls = [
        Some(&document.authorization_endpoint),
        Some(&document.token_endpoint),
        document.userinfo_endpoint.as_ref(),
        Some(&document.jwks_uri),
    ];
    if !urls.into_iter().flatten().all(is_web) {
        return Err(operator(
            "the discovery document names an address that begins with neither https nor http",
        ));
    }
    let keys = answer::document(wire, &document.jwks_uri, "the set of keys").await?;
    let algorithms = algorithms(document.id_token_signing_alg_values_supported)?;
    Ok(Endpoints {
        issuer: document.issuer.to_string(),
        authorize: document.authorization_endpoint,
        token: document.token_endpoint,
        userinfo: document.userinfo_endpoint,
        auth_type: auth_type(document.token_endpoint_auth_methods_supported.as_deref()),
        proof: Some(Proof {
            issuer: document.issuer,
            algorithms,
            keys,
        }),
        always_names_itself: document.authorization_response_iss_parameter_supported,
    })
}

/// Those of the provider's algorithms that a public key proves. Shared secrets are refused: whoever confuses the kinds of keys could
/// sign with a public one.
fn algorithms(named: Option<Vec<Value>>) -> Result<Vec<CoreJwsSigningAlgorithm>, LoginError> {
    use CoreJwsSigningAlgorithm as Alg;
    let Some(named) = named else {
        return Ok(vec![Alg::RsaSsaPkcs1V15Sha256]);
    };
    let usable: Vec<Alg> = named
        .into_iter()
        .filter_map(|name| serde_json::from_value(name).ok())
        .filter(|algorithm| match algorithm {
            Alg::RsaSsaPkcs1V15Sha256
            | Alg::RsaSsaPkcs1V15Sha384
            | Alg::RsaSsaPkcs1V15Sha512
            | Alg::RsaSsaPssSha256
            | Alg::RsaSsaPssSha384
            | Alg::RsaSsaPssSha512
            | Alg::EcdsaP256Sha256
            | Alg::EcdsaP384Sha384
            | Alg::EdDsa => true,
            // The last may come to be known one day, and is then looked at.
            Alg::HmacSha256
            | Alg::HmacSha384
            | Alg::HmacSha512
            | Alg::EcdsaP521Sha512
            | Alg::None
            | _ => false,
        })
        .collect();
    if usable.is_empty() {
        return Err(operator(
            "it signs with no algorithm that a public key proves: have it sign with RS256",
        ));
    }
    Ok(usable)
}

/// RFC 8414: what is not said is the header.
fn auth_type(named: Option<&[String]>) -> AuthType {
    let offers = |method: &str| named.is_some_and(|named| named.iter().any(|name| name == method));
    if offers("client_secret_post") && !offers("client_secret_basic") {
        AuthType::RequestBody
    } else {
        AuthType::BasicAuth
    }
}
