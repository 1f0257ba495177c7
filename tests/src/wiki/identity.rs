//! What the wiki states about a person, signed or not, and how a test makes the statement wrong.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::accounts::{Account, Hidden};
use super::consumers::{Consumer, with_holes};
use super::php::{Json, Letters, Members};
use super::state::{Release, State};

/// How long a statement holds.
const HOLDS: i64 = 100;

/// What is wrong with statements: of `identify`, and of the profile where it has such a member.
#[derive(Debug, Clone, PartialEq)]
pub enum Tamper {
    /// The header names this algorithm; `none` also leaves the signature out. Only of `identify`.
    Algorithm(String),
    /// The signature does not fit. Only of `identify`.
    Signature,
    /// A member has this value, whether it was there or not: another `aud`, `iss`, `nonce`, `sub`, ...
    Set(String, Json),
    /// A member is missing.
    Remove(String),
    /// It was made so many seconds later, or earlier when negative; `exp` moves with it.
    Made(i64),
    /// Whole numbers have a fraction.
    Fractions,
    /// Every list is an object.
    Objects,
}

impl State {
    /// What `identify` answers: a JWT.
    pub(super) fn statement(
        &self,
        account: &Account,
        consumer: &Consumer,
        grants: &[String],
        nonce: &str,
    ) -> String {
        let issuer = self.canonical.as_ref().unwrap_or(&self.server);
        let now = self.now();
        let mut claims: Members = vec![
            ("iss".to_owned(), issuer.as_str().into()),
            ("aud".to_owned(), consumer.key.as_str().into()),
            ("exp".to_owned(), (now + HOLDS).into()),
            ("iat".to_owned(), now.into()),
        ];
        let said = self.grants_said(consumer, grants);
        claims.extend(self.person(account, &account.rights, grants, said));
        claims.push(("nonce".to_owned(), nonce.into()));
        self.spoil(&mut claims);
        self.sign(&claims, &consumer.secret)
    }

    /// What is said of a person. `grants` are those of the acceptance, `said` how they are written.
    pub(super) fn person(
        &self,
        account: &Account,
        rights: &[String],
        grants: &[String],
        said: Json,
    ) -> Members {
        let sub = match (account.attached, self.release) {
            (true, _) => account.sub.to_string(),
            (false, Release::Lts143) => String::new(),
            (false, Release::Master) => "0".to_owned(),
        };
        let sub = ("sub", Json::Text(sub));
        let members = if account.hidden == Hidden::Suppressed {
            vec![sub, ("blocked", true.into())]
        } else {
            let registered = account.registered.as_deref().map_or(Json::Null, Json::from);
            let mut members = vec![
                sub,
                ("username", account.name.as_str().into()),
                ("editcount", account.edit_count.into()),
                ("email_verified", account.confirmed_email.into()),
                ("confirmed_email", account.confirmed_email.into()),
                ("blocked", account.blocked.into()),
                ("registered", registered),
                ("groups", Json::texts(&account.groups)),
                ("rights", Json::texts(rights)),
                ("grants", said),
            ];
            if grants
                .iter()
                .any(|grant| grant == "mwoauth-authonlyprivate")
            {
                let email = if account.confirmed_email {
                    account.email.as_str()
                } else {
                    ""
                };
                members.push(("realname", account.real_name.as_str().into()));
                members.push(("email", email.into()));
            }
            members
        };
        members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// Makes members wrong as a test wishes.
    pub(super) fn spoil(&self, members: &mut Members) {
        for tamper in &self.tampers {
            match tamper {
                Tamper::Algorithm(_) | Tamper::Signature => {}
                Tamper::Set(name, value) => {
                    match members.iter_mut().find(|(known, _)| known == name) {
                        Some((_, known)) => value.clone_into(known),
                        None => members.push((name.clone(), value.clone())),
                    }
                }
                Tamper::Remove(name) => members.retain(|(known, _)| known != name),
                Tamper::Made(seconds) => {
                    for (name, value) in members.iter_mut() {
                        if let Json::Int(moment) = value
                            && ["iat", "exp"].contains(&name.as_str())
                        {
                            *moment += seconds;
                        }
                    }
                }
                Tamper::Fractions => {
                    for (_, value) in members.iter_mut() {
                        if let Json::Int(whole) = value {
                            // Far below the numbers that a float cannot hold.
                            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                            let float = *whole as f64;
                            *value = Json::Float(float + 0.25);
                        }
                    }
                }
                Tamper::Objects => {
                    for (_, value) in members.iter_mut() {
                        if let Json::List(items) = value {
                            let texts: Vec<String> = items
                                .iter()
                                .filter_map(|item| match item {
                                    Json::Text(text) => Some(text.clone()),
                                    _ => None,
                                })
                                .collect();
                            *value = with_holes(&texts);
                        }
                    }
                }
            }
        }
    }

    fn sign(&self, claims: &Members, secret: &str) -> String {
        let algorithm = self.tampers.iter().find_map(|tamper| match tamper {
            Tamper::Algorithm(name) => Some(name.as_str()),
            _ => None,
        });
        let algorithm = algorithm.unwrap_or("HS256");
        let header = Json::map([("typ", "JWT".into()), ("alg", algorithm.into())]);
        let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.write(Letters::Escaped));
        let signed = format!("{}.{}", part(&header), part(&Json::Map(claims.clone())));
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
        mac.update(signed.as_bytes());
        let mut signature = mac.finalize().into_bytes().to_vec();
        if self.tampers.contains(&Tamper::Signature) {
            signature[0] ^= 1;
        }
        if algorithm == "none" {
            signature.clear();
        }
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
