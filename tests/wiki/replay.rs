//! Every recorded exchange, sent again to a wiki in the state of that moment: status, content type and body are the same byte for byte.
//!
//! Random values are given from the recording: request tokens, verifiers, access tokens, codes and refresh tokens.
//! Excepted, since its key is not ours: `access_token` of OAuth 2.0, a JWT signed by RS256 with a `jti` and fractions of seconds, which
//! is given from the recording as a whole (exchanges `oauth2 token`, `refresh`, `oauth2_public token`).
//! Also excepted: the HTML of the redirect of `bad scope`, which was not recorded, and the cookie of its browser.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use holt_tests::wiki::{Arrived, Consent, Consumer, Hidden, Secret, Shape, Stage, Visitor, Wiki};

use sha2::{Digest as _, Sha256};

use crate::recording::{Exchange, Recording, load};

const CALLBACK: &str = "http://127.0.0.1:8000/hub/oauth_callback";
const EDITS: &[&str] = &[
    "basic",
    "highvolume",
    "editpage",
    "createeditmovepage",
    "uploadfile",
];

/// A wiki that was recorded, and which exchanges were done.
struct Recorded {
    wiki: Wiki,
    recording: Recording,
    done: BTreeSet<String>,
}

impl Recorded {
    fn new() -> Result<Self> {
        let recording = load()?;
        let wiki = Wiki::start()?;
        wiki.set_server(&recording.base);
        for (sub, name, local, registered) in [
            (7_000_003, "Ordinary user", 5, "20261121073101"),
            (7_000_004, "Other user", 6, "20261121073101"),
            (7_000_005, "Locked user", 7, "20261121073101"),
            (7_000_009, "Alice", 11, "20261121073102"),
            (7_000_012, "O'Brien (WMF)", 14, "20261121073102"),
            (7_000_026, "汉字用户", 28, "20261121073102"),
            (7_000_032, "🦀 Crab", 34, "20261121073102"),
        ] {
            wiki.account(sub, name);
            wiki.change_account(sub, |account| {
                account.local_id = local;
                account.registered = Some(registered.to_owned());
                account.email = format!("u{local}@example.org");
            })?;
        }
        wiki.change_account(7_000_005, |account| account.locked = true)?;
        Ok(Self {
            wiki,
            recording,
            done: BTreeSet::new(),
        })
    }

    fn exchange(&self, name: &str) -> Result<&Exchange> {
        let found = |exchange: &&Exchange| exchange.name == name;
        self.recording
            .exchanges
            .iter()
            .find(found)
            .with_context(|| format!("{name} was not recorded"))
    }

    fn give(&self, secret: Secret, exchange: &str, field: &str) -> Result<()> {
        self.wiki
            .give(secret, &self.exchange(exchange)?.answered(field)?);
        Ok(())
    }

    fn stands(&self, sub: u64, locked: bool, hidden: Hidden) -> Result<()> {
        self.wiki.change_account(sub, |account| {
            account.locked = locked;
            account.hidden = hidden;
        })
    }

    async fn replay(&mut self, name: &str) -> Result<()> {
        let exchange = self.exchange(name)?;
        exchange.replay(&self.wiki, &self.recording.base).await?;
        assert!(self.done.insert(name.to_owned()), "{name} was done");
        Ok(())
    }

    /// The browser of somebody goes to the wiki and comes back as recorded.
    async fn browser(
        &mut self,
        name: &str,
        user: u64,
        start: &str,
        consent: Consent,
    ) -> Result<()> {
        self.wiki.browser_user(Some(user));
        let visitor = Visitor::new("nobody")?;
        let arrived = visitor.go(start, consent).await?;
        self.wiki.browser_user(None);
        let Arrived::Away(url) = arrived else {
            panic!("{name}: {arrived:?}");
        };
        assert_eq!(Some(url.as_str()), self.exchange(name)?.location.as_deref());
        assert!(self.done.insert(name.to_owned()), "{name} was done");
        Ok(())
    }

    /// A whole sign-in by OAuth 1.0a. The seconds are those of the three requests.
    async fn sign_in(
        &mut self,
        prefix: &str,
        user: u64,
        consumer: Consumer,
        seconds: [i64; 3],
    ) -> Result<()> {
        let [initiate, back, token, identify] =
            ["initiate", "browser comes back", "token", "identify"]
                .map(|step| format!("{prefix} {step}"));
        self.wiki.consumer(consumer);
        self.give(Secret::RequestToken, &initiate, "oauth_token")?;
        self.give(Secret::RequestSecret, &initiate, "oauth_token_secret")?;
        self.give(Secret::AccessToken, &token, "oauth_token")?;
        self.give(Secret::AccessSecret, &token, "oauth_token_secret")?;
        self.wiki.give(
            Secret::Verifier,
            &self.exchange(&back)?.brought("oauth_verifier")?,
        );
        self.wiki.set_clock(seconds[0]);
        self.replay(&initiate).await?;
        let start = format!(
            "{}?title=Special:OAuth/authenticate&oauth_token={}",
            self.wiki.index_url(),
            self.exchange(&back)?.brought("oauth_token")?
        );
        self.browser(&back, user, &start, Consent::Accept).await?;
        self.wiki.set_clock(seconds[1]);
        self.replay(&token).await?;
        self.wiki.set_clock(seconds[2]);
        self.replay(&identify).await?;
        Ok(())
    }

    fn oauth1(&self, exchange: &str, secret: &str) -> Consumer {
        let key = match exchange {
            "oauth1" => FIRST,
            "oauth1_authonly" => "c426618c034a4495cd13a0253392116e",
            "oauth1_private" => "7cfbdbe401b143af512d78de685ece00",
            _ => "29c958f7eb9b8c24da19772c2e63c5c4",
        };
        Consumer::oauth1(key, secret, CALLBACK)
    }

    /// The start of OAuth 2.0 in a browser.
    fn start(&self, client: &str, more: &str) -> String {
        format!(
            "{}/oauth2/authorize?response_type=code&client_id={client}&redirect_uri={CALLBACK}{more}",
            self.wiki.rest_url()
        )
    }

    async fn code(&mut self, prefix: &str, client: &str) -> Result<()> {
        let back = format!("{prefix} browser comes back");
        let token = format!("{prefix} token");
        let exchange = self.exchange(&back)?;
        self.wiki.give(Secret::Code, &exchange.brought("code")?);
        self.give(Secret::Bearer, &token, "access_token")?;
        self.give(Secret::RefreshToken, &token, "refresh_token")?;
        let mut more = format!("&state={}", exchange.state.as_deref().context("no state")?);
        if let Some(verifier) = &exchange.code_verifier {
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
            more = format!("{more}&code_challenge={challenge}&code_challenge_method=S256");
        }
        let start = self.start(client, &more);
        self.browser(&back, 7_000_004, &start, Consent::Accept)
            .await?;
        self.replay(&token).await?;
        Ok(())
    }
}

const FIRST: &str = "ff68fd86be55839e0bc4db271de8860c";
const SECOND: &str = "3cabb77d846d0a7d9a5e4946f1095b90";
const PUBLIC: &str = "55c8b176643b735ec68975c30eb4a7f2";

#[tokio::test]
async fn every_recorded_exchange_is_answered_alike() -> Result<()> {
    let mut recorded = Recorded::new()?;
    oauth1(&mut recorded).await?;
    oauth1_refused(&mut recorded).await?;
    oauth1_later(&mut recorded).await?;
    oauth2(&mut recorded).await?;
    oauth2_refused(&mut recorded).await?;
    for name in [
        "Ordinary user",
        "Locked user",
        "Nobody here",
        "Bad#name",
        "by id",
    ] {
        recorded.replay(&format!("globaluserinfo {name}")).await?;
    }
    let all: BTreeSet<String> = recorded
        .recording
        .exchanges
        .iter()
        .map(|exchange| exchange.name.clone())
        .collect();
    assert_eq!(recorded.recording.exchanges.len(), all.len());
    assert_eq!(recorded.done, all, "every exchange is replayed");
    Ok(())
}

async fn oauth1(recorded: &mut Recorded) -> Result<()> {
    let mut first = recorded
        .oauth1("oauth1", "707b147bc75e3b420d4220edb2da8d3d6bd70d40")
        .with_grants(EDITS)
        .named("Hub OAuth1");
    first.grants_shape = Shape::Holes;
    let seconds = [1_795_246_427, 1_795_246_428, 1_795_246_428];
    recorded
        .sign_in("oauth1", 7_000_003, first, seconds)
        .await?;
    for name in [
        "token replayed",
        "identify, wrong token secret",
        "identify, extra parameters",
        "api userinfo",
    ] {
        recorded.replay(name).await?;
    }
    let at = [1_795_246_428; 3];
    let authonly = recorded.oauth1(
        "oauth1_authonly",
        "4b4d475c3c834d8f713165701cfd137821cf3181",
    );
    recorded
        .sign_in("oauth1_authonly", 7_000_026, authonly, at)
        .await?;
    let private = recorded
        .oauth1("oauth1_private", "19811cf01f350519f01a629a20e191f405786ae1")
        .with_grants(&["mwoauth-authonlyprivate"]);
    recorded
        .sign_in("oauth1_private", 7_000_012, private, at)
        .await?;
    let mut prefix = recorded
        .oauth1("oauth1_prefix", "9946d26c3aae0d96a46c3d16822e5a481f9b6a76")
        .with_prefix()
        .with_grants(EDITS);
    prefix.grants_shape = Shape::Holes;
    recorded
        .sign_in("oauth1_prefix", 7_000_032, prefix, at)
        .await?;
    Ok(())
}

async fn oauth1_refused(recorded: &mut Recorded) -> Result<()> {
    let mut near = Consumer::oauth1("8fb56e07ec53ee0656b37f10c8b75629", "unknown", CALLBACK);
    near.ip_ranges = vec!["192.0.2.0/24".parse()?];
    recorded.wiki.consumer(near);
    let mut own = Consumer::oauth1("bbd9001586a74efc90cee54d4f6da1c3", "unknown", CALLBACK)
        .named("Owner only OAuth1");
    own.owner_only = true;
    recorded.wiki.consumer(own);
    for name in [
        "wrong secret",
        "skew",
        "unknown consumer",
        "ip restricted",
        "owner only",
    ] {
        recorded.replay(&format!("initiate, {name}")).await?;
    }
    Ok(())
}

async fn oauth1_later(recorded: &mut Recorded) -> Result<()> {
    let sub = 7_000_003;
    recorded.wiki.set_clock(1_795_246_429);
    recorded.stands(sub, true, Hidden::No)?;
    recorded.replay("identify, globally locked").await?;
    recorded.stands(sub, false, Hidden::Suppressed)?;
    recorded.replay("identify, suppressed account").await?;
    recorded.stands(sub, false, Hidden::No)?;
    let set = |stage| move |consumer: &mut Consumer| consumer.stage = stage;
    recorded.wiki.change_consumer(FIRST, set(Stage::Disabled))?;
    recorded.replay("identify, consumer disabled").await?;
    recorded.wiki.change_consumer(FIRST, set(Stage::Approved))?;
    recorded.wiki.revoke(FIRST, sub);
    recorded.replay("identify, grant revoked").await?;
    Ok(())
}

async fn oauth2(recorded: &mut Recorded) -> Result<()> {
    recorded.wiki.set_clock(1_795_246_430);
    let secret = "eee72760886eccae1052bb774874a7a478e25f15";
    let mut client = Consumer::oauth2(SECOND, secret, CALLBACK).with_grants(EDITS);
    client.grants_shape = Shape::Holes;
    recorded.wiki.consumer(client);
    let mut public = Consumer::oauth2_public(PUBLIC, CALLBACK).with_grants(EDITS);
    public.grants_shape = Shape::Holes;
    recorded.wiki.consumer(public);
    recorded.code("oauth2", SECOND).await?;
    for name in ["oauth2 profile", "oauth2 scopes", "oauth2 code again"] {
        recorded.replay(name).await?;
    }
    recorded.give(Secret::Bearer, "refresh", "access_token")?;
    recorded.give(Secret::RefreshToken, "refresh", "refresh_token")?;
    for name in ["refresh", "refresh again", "old access token", "bad secret"] {
        recorded.replay(name).await?;
    }
    recorded.wiki.set_clock(1_795_246_431);
    recorded.code("oauth2_public", PUBLIC).await?;
    for name in ["profile", "scopes", "code again"] {
        recorded.replay(&format!("oauth2_public {name}")).await?;
    }
    Ok(())
}

async fn oauth2_refused(recorded: &mut Recorded) -> Result<()> {
    let name = "denied, browser comes back";
    let state = recorded.exchange(name)?.state.clone().context("no state")?;
    let start = recorded.start(SECOND, &format!("&state={state}"));
    recorded
        .browser(name, 7_000_004, &start, Consent::Decline)
        .await?;
    // The recorded browser was signed in.
    recorded.wiki.browser_user(Some(7_000_004));
    recorded.replay("bad scope").await?;
    recorded.wiki.browser_user(None);
    Ok(())
}
