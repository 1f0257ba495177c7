//! Signing in by a provider that only pretends: browsers, tabs, hubs, refusals, names, sessions.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};

use super::harness::{Answer, PASSWORD, TestBrowser, TestHub, Tried};
use crate::http::HttpSettings;
use crate::login::admission::Rules;
use crate::login::provider::{Begun, CameBack, LoginError, Person, Provider, Query, Standing};
use crate::login::sign_in::{Registered, SignIn};
use crate::secret;
use crate::secret::seal::Seal;
use crate::store::Store;
use crate::store::links::LinkKind;

/// What the provider says next.
#[derive(Debug, Clone)]
struct Script {
    finish: Result<Person, LoginError>,
    standing: Result<Option<Standing>, LoginError>,
}

struct Pretended(Mutex<Script>);

#[async_trait]
impl Provider for Pretended {
    async fn begin(&self, callback: &str) -> Result<Begun, LoginError> {
        assert_eq!(callback, "https://hub.example/hub/oauth_callback");
        let handle = secret::random_id();
        Ok(Begun {
            go_to: format!("https://wiki.example/authorize?state={handle}"),
            kept: SecretString::from(format!("kept for {handle}")),
            handle,
        })
    }

    fn came_back(&self, query: &Query) -> CameBack {
        let field = |name: &str| {
            query
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, it)| it.clone())
        };
        match (field("error"), field("state"), field("code")) {
            (Some(error), handle, _) => CameBack::Denied { handle, error },
            (None, Some(handle), Some(_)) => CameBack::With { handle },
            _ => CameBack::Nothing,
        }
    }

    async fn finish(
        &self,
        _: &str,
        kept: &SecretString,
        query: &Query,
    ) -> Result<Person, LoginError> {
        let CameBack::With { handle } = self.came_back(query) else {
            return Err(LoginError::Forged);
        };
        assert_eq!(kept.expose_secret(), format!("kept for {handle}"));
        self.script().finish.clone()
    }

    async fn standing(&self, _: &str) -> Result<Option<Standing>, LoginError> {
        self.script().standing.clone()
    }

    fn tells_standing(&self) -> bool {
        true
    }
}

impl Pretended {
    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.0.lock().expect("no test panics while it holds it")
    }
}

fn person(sub: &str, name: &str) -> Person {
    Person {
        issuer: "https://wiki.example".into(),
        sub: sub.into(),
        name: name.into(),
        groups: Vec::new(),
        admin: false,
        confirmed_email: None,
        registered: None,
        edits: Some(1),
        blocked: false,
        auth_state: serde_json::json!({"access_token": "a-very-secret-token"}),
    }
}

struct World {
    hub: TestHub,
    /// Another hub on the same database.
    other: TestHub,
    provider: Arc<Pretended>,
    sign_in: Arc<SignIn>,
}

async fn world(rules: Rules) -> Result<World, Box<dyn std::error::Error>> {
    world_with(rules, false).await
}

async fn world_with(rules: Rules, is_local_on: bool) -> Result<World, Box<dyn std::error::Error>> {
    let provider = Arc::new(Pretended(Mutex::new(Script {
        finish: Ok(person("7", "O'Brien (WMF)")),
        standing: Ok(Some(Standing::Good {
            name: "O'Brien (WMF)".into(),
        })),
    })));
    let sign_in = Arc::new(SignIn {
        providers: vec![Registered {
            name: "wiki".into(),
            label: "Wikimedia".into(),
            callback_path: "/hub/oauth_callback".into(),
            decides_admins: false,
            provider: provider.clone(),
        }],
        rules,
        public_url: "https://hub.example".into(),
        is_local_on,
        max_age: Duration::from_secs(3600),
        ..SignIn::local(Arc::new(Seal::from_text(&Seal::new_key())?))
    });
    let store = Store::in_memory().await?;
    let settings = HttpSettings {
        public_url: "https://hub.example".to_owned(),
        ..HttpSettings::default()
    };
    let hub = TestHub::with_sign_in(settings.clone(), sign_in.clone(), store.clone()).await?;
    let other = TestHub::with_sign_in(settings, sign_in.clone(), store).await?;
    Ok(World {
        hub,
        other,
        provider,
        sign_in,
    })
}

fn everybody() -> Rules {
    Rules {
        allow_all: true,
        ..Rules::default()
    }
}

/// Goes to the provider; the handle of the sign-in.
async fn away(browser: &mut TestBrowser<'_>, path: &str) -> String {
    let answer = browser.get(path).await.is(303);
    let to = answer.location().to_owned();
    let (_, handle) = to.split_once("state=").expect("it leads to the provider");
    handle.to_owned()
}

async fn back(browser: &mut TestBrowser<'_>, handle: &str) -> Answer {
    browser
        .get(&format!("/hub/oauth_callback?code=x&state={handle}"))
        .await
}

#[tokio::test]
async fn the_page_has_a_button_and_no_password_field() -> Tried {
    let world = world(everybody()).await?;
    let page = world
        .hub
        .browser()
        .get("/hub/login?next=/hub/admin")
        .await
        .is(200);
    assert!(
        page.body.contains("Sign in with Wikimedia"),
        "{}",
        page.body
    );
    assert!(page.body.contains("/hub/login/wiki?next=/hub/admin"));
    assert!(!page.body.contains("password_input"));
    let mut browser = world.hub.browser();
    browser.get("/hub/login").await;
    browser
        .post("/hub/login", &[("username", "x"), ("password", "y")])
        .await
        .is(403);
    Ok(())
}

#[tokio::test]
async fn a_person_arrives_and_goes_where_they_wanted() -> Tried {
    let world = world(everybody()).await?;
    let mut browser = world.hub.browser();
    let answer = browser.get("/hub/login/wiki?next=/hub/home").await.is(303);
    let cookie = answer.header("set-cookie").to_owned();
    assert!(
        cookie.starts_with("holt-sign-in=")
            && cookie.ends_with("; Path=/hub/; SameSite=Lax; HttpOnly; Secure; Max-Age=1200"),
        "{cookie}"
    );
    let handle = answer
        .location()
        .rsplit('=')
        .next()
        .unwrap_or_default()
        .to_owned();
    let answer = back(&mut browser, &handle).await.is(303);
    assert_eq!(answer.location(), "/hub/home");
    assert!(
        browser
            .get("/hub/home")
            .await
            .is(200)
            .body
            .contains("Brien (WMF)")
    );
    // The same account is the same user, whatever it is called.
    world.provider.script().finish = Ok(person("7", "Renamed"));
    let mut second = world.hub.browser();
    let handle = away(&mut second, "/hub/login/wiki").await;
    back(&mut second, &handle).await.is(303);
    assert_eq!(world.hub.store.count_users().await?, 1);
    assert!(world.hub.store.user_by_name("Renamed").await?.is_some());
    // What the provider gave is kept, and not readable in the database.
    let kept = world
        .hub
        .store
        .auth_state("https://wiki.example", "7")
        .await?;
    let kept = kept.ok_or("no auth state")?;
    assert!(!kept.text.contains("secret"));
    let owner = crate::login::sign_in::auth_state_owner("https://wiki.example", "7", "");
    let text = world.sign_in.seal.open(&owner, &kept).ok_or("not opened")?;
    assert!(text.contains("a-very-secret-token"));
    Ok(())
}

#[tokio::test]
async fn two_tabs_and_two_hubs_finish_each_others_sign_ins() -> Tried {
    let world = world(everybody()).await?;
    let mut browser = world.hub.browser();
    let first = away(&mut browser, "/hub/login/wiki?next=/hub/home").await;
    let second = away(&mut browser, "/hub/login/wiki?next=/hub/sessions").await;
    let mut elsewhere = world.other.browser();
    elsewhere.cookies = browser.cookies.clone();
    let answer = back(&mut elsewhere, &second).await.is(303);
    assert_eq!(answer.location(), "/hub/sessions");
    let answer = back(&mut browser, &first).await.is(303);
    assert_eq!(answer.location(), "/hub/home");
    // Both hubs know both sessions.
    elsewhere.get("/hub/home").await.is(200);
    let page = elsewhere.get("/hub/sessions").await.is(200);
    assert_eq!(
        page.body.matches("By Wikimedia").count(),
        2,
        "{}",
        page.body
    );
    Ok(())
}

#[tokio::test]
async fn a_browser_that_did_not_begin_it_is_not_signed_in() -> Tried {
    let world = world(everybody()).await?;
    let mut attacker = world.hub.browser();
    let handle = away(&mut attacker, "/hub/login/wiki").await;
    // The attacker sends the victim to the callback of their own sign-in.
    let mut victim = world.hub.browser();
    let page = back(&mut victim, &handle).await.is(400);
    assert!(page.body.contains("another browser"), "{}", page.body);
    away(&mut victim, "/hub/login/wiki").await;
    back(&mut victim, &handle).await.is(400);
    assert_eq!(world.hub.store.count_users().await?, 0);
    // The attacker's own still works, once.
    back(&mut attacker, &handle).await.is(303);
    let mut again = world.hub.browser();
    again.cookies.insert(
        "holt-sign-in".into(),
        attacker.cookies["holt-sign-in"].clone(),
    );
    back(&mut again, &handle).await.is(400);
    // Who reloads the callback and is signed in goes on.
    let answer = back(&mut attacker, &handle).await.is(303);
    assert_eq!(answer.location(), "/hub/spawn");
    Ok(())
}

#[tokio::test]
async fn every_refusal_is_a_page_that_says_what_to_do() -> Tried {
    let world = world(everybody()).await?;
    let cases = [
        (LoginError::Denied, 403, "try again"),
        (LoginError::Over, 400, "Begin again"),
        (LoginError::Forged, 403, "Begin again"),
        (LoginError::Refused("No name.".into()), 403, "No name."),
        (
            LoginError::Away {
                reason: "secret reason".into(),
                retry_after: Some(Duration::from_secs(7)),
            },
            503,
            "wait 7 s",
        ),
        (LoginError::ReadOnly, 503, "read-only"),
        (LoginError::Clock(-400), 502, "400 s apart"),
        (
            LoginError::Operator {
                reason: "secret reason".into(),
            },
            502,
            "mend that",
        ),
        (LoginError::Unproven("aud"), 502, "could not be verified"),
    ];
    for (error, status, words) in cases {
        world.provider.script().finish = Err(error.clone());
        let mut browser = world.hub.browser();
        let handle = away(&mut browser, "/hub/login/wiki").await;
        let page = back(&mut browser, &handle).await.is(status);
        assert!(page.body.contains(words), "{error:?}: {}", page.body);
        assert!(page.body.contains("href=\"/hub/login\""), "{error:?}");
        assert!(!page.body.contains("secret reason"), "{error:?}");
        if status == 503 {
            assert_ne!(page.header("retry-after"), "", "{error:?}");
        }
    }
    let mut browser = world.hub.browser();
    away(&mut browser, "/hub/login/wiki").await;
    // Denied without a state, as wikis do; nonsense; and a path of no provider.
    browser
        .get("/hub/oauth_callback?error=unauthorized_client")
        .await
        .is(403);
    for query in ["", "?state=x", "?state=%00&code=%ff", "?code=x", "?a=b&a=c"] {
        browser
            .get(&format!("/hub/oauth_callback{query}"))
            .await
            .is(400);
    }
    browser
        .get("/hub/oauth_callback/wiki?code=x&state=y")
        .await
        .is(404);
    browser.get("/hub/login/other").await.is(404);
    assert_eq!(world.hub.store.count_users().await?, 0);
    Ok(())
}

#[tokio::test]
async fn who_is_not_admitted_is_told_why_and_not_made_a_user() -> Tried {
    let world = world(Rules::default()).await?;
    let mut browser = world.hub.browser();
    let handle = away(&mut browser, "/hub/login/wiki").await;
    let page = back(&mut browser, &handle).await.is(403);
    assert!(page.body.contains("not on the list"), "{}", page.body);
    assert_eq!(world.hub.store.count_users().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_locked_account_is_kept_out_and_an_outage_is_bridged_for_a_while() -> Tried {
    let world = world(everybody()).await?;
    let away_error = LoginError::Away {
        reason: "down".into(),
        retry_after: None,
    };
    let attempt = async |standing: Result<Option<Standing>, LoginError>| {
        world.provider.script().standing = standing;
        let mut browser = world.hub.browser();
        let handle = away(&mut browser, "/hub/login/wiki").await;
        back(&mut browser, &handle).await
    };
    // Nothing is known of a new account while nobody can be asked.
    attempt(Err(away_error.clone())).await.is(503);
    for standing in [Standing::Locked, Standing::Missing] {
        let page = attempt(Ok(Some(standing))).await.is(403);
        assert!(page.body.contains("cannot be used here"), "{}", page.body);
    }
    let good = Standing::Good {
        name: "O'Brien (WMF)".into(),
    };
    attempt(Ok(Some(good))).await.is(303);
    attempt(Err(away_error.clone())).await.is(303);
    sqlx::query("UPDATE identities SET confirmed = confirmed - 3600001")
        .execute(world.hub.store.pool())
        .await?;
    attempt(Err(away_error)).await.is(503);
    Ok(())
}

#[tokio::test]
async fn somebody_elses_equal_name_gets_a_suffix() -> Tried {
    let world = world(everybody()).await?;
    world.hub.admin("Rook").await?;
    world.provider.script().finish = Ok(person("8", "Rook"));
    let mut browser = world.hub.browser();
    let handle = away(&mut browser, "/hub/login/wiki").await;
    back(&mut browser, &handle).await.is(303);
    let rook = world.hub.store.user_by_name("Rook-wiki").await?;
    assert!(rook.is_some_and(|user| !user.admin));
    browser.get("/hub/admin").await.is(403);
    Ok(())
}

#[tokio::test]
async fn sessions_are_seen_and_ended_one_by_one_and_all_at_once() -> Tried {
    let world = world(everybody()).await?;
    let mut browsers = Vec::new();
    for _ in 0..3 {
        let mut browser = world.hub.browser();
        let handle = away(&mut browser, "/hub/login/wiki").await;
        back(&mut browser, &handle).await.is(303);
        browsers.push(browser);
    }
    let user = world.hub.store.users(0, 1).await?.remove(0);
    let sessions = world.hub.store.sessions_of(user.id).await?;
    let of = |browser: &TestBrowser<'_>| {
        let session = &browser.cookies["jupyterhub-session-id"];
        sessions
            .iter()
            .find(|row| row.session_id == *session)
            .map(|row| row.id)
    };
    let second = of(&browsers[1]).ok_or("no session")?;
    // Another's session cannot be ended: it is as if there were none.
    let mut stranger = {
        world.provider.script().finish = Ok(person("9", "Stranger"));
        let mut browser = world.hub.browser();
        let handle = away(&mut browser, "/hub/login/wiki").await;
        back(&mut browser, &handle).await.is(303);
        browser
    };
    stranger.get("/hub/sessions").await.is(200);
    stranger
        .post(&format!("/hub/sessions/{second}/end"), &[])
        .await
        .is(303);
    browsers[1].get("/hub/home").await.is(200);
    browsers[0].get("/hub/sessions").await.is(200);
    browsers[0]
        .post_bare(&format!("/hub/sessions/{second}/end"), &[])
        .await
        .is(403);
    browsers[0]
        .post(&format!("/hub/sessions/{second}/end"), &[])
        .await
        .is(303);
    browsers[1].get("/hub/home").await.is(303);
    browsers[2].get("/hub/home").await.is(200);
    let hash = secret::hash(&browsers[1].cookies["jupyterhub-session-id"]);
    let is_forgotten = |hash: &String| {
        let forgotten = world
            .hub
            .forgotten
            .0
            .lock()
            .expect("no test panics while it holds it");
        forgotten
            .iter()
            .any(|(sessions, _)| sessions.contains(hash))
    };
    assert!(is_forgotten(&hash));
    browsers[0]
        .post("/hub/sessions/end-others", &[])
        .await
        .is(303);
    browsers[2].get("/hub/home").await.is(303);
    browsers[0].get("/hub/home").await.is(200);
    let last = secret::hash(&browsers[0].cookies["jupyterhub-session-id"]);
    browsers[0].post("/hub/sessions/end", &[]).await.is(303);
    browsers[0].get("/hub/home").await.is(303);
    assert!(is_forgotten(&last));
    stranger.get("/hub/home").await.is(200);
    Ok(())
}

#[tokio::test]
async fn links_under_a_former_name_lead_to_the_present_one() -> Tried {
    let world = world(everybody()).await?;
    let mut browser = world.hub.browser();
    let handle = away(&mut browser, "/hub/login/wiki").await;
    back(&mut browser, &handle).await.is(303);
    world.provider.script().finish = Ok(person("7", "New name"));
    browser.get("/hub/logout").await.is(200);
    let handle = away(&mut browser, "/hub/login/wiki").await;
    back(&mut browser, &handle).await.is(303);
    let answer = browser
        .get("/hub/user/O%27Brien%20%28WMF%29/lab/tree/a%20b?x=1")
        .await
        .is(303);
    assert_eq!(answer.location(), "/user/New%20name/lab/tree/a%20b?x=1");
    let answer = browser
        .get("/hub/spawn/O%27Brien%20%28WMF%29")
        .await
        .is(303);
    assert_eq!(answer.location(), "/hub/spawn-pending/New%20name");
    // For others there is nothing to see.
    world.provider.script().finish = Ok(person("9", "Stranger"));
    let mut stranger = world.hub.browser();
    let handle = away(&mut stranger, "/hub/login/wiki").await;
    back(&mut stranger, &handle).await.is(303);
    stranger
        .get("/hub/user/O%27Brien%20%28WMF%29/lab")
        .await
        .is(404);
    Ok(())
}

#[tokio::test]
async fn one_address_cannot_begin_without_end() -> Tried {
    let world = world(everybody()).await?;
    let mut browser = world.hub.browser();
    let first = away(&mut browser, "/hub/login/wiki").await;
    for _ in 1..1000 {
        world.hub.browser().get("/hub/login/wiki").await.is(303);
    }
    let page = world.hub.browser().get("/hub/login/wiki").await.is(429);
    assert!(page.body.contains("Wait 15 min"), "{}", page.body);
    assert_ne!(page.header("retry-after"), "");
    // What was begun before can be finished.
    back(&mut browser, &first).await.is(303);
    Ok(())
}

#[tokio::test]
async fn who_comes_by_a_provider_is_not_offered_a_password() -> Tried {
    let world = world(everybody()).await?;
    let mut browser = world.hub.browser();
    let handle = away(&mut browser, "/hub/login/wiki").await;
    let answer = back(&mut browser, &handle).await.is(303);
    assert_eq!(answer.location(), "/hub/spawn");
    let page = browser.get("/hub/home").await.is(200);
    assert!(!page.body.contains("password"), "{}", page.body);
    Ok(())
}

#[tokio::test]
async fn no_other_door_is_open_to_an_account_that_was_put_out() -> Tried {
    let world = world_with(everybody(), true).await?;
    let mut browser = world.hub.browser();
    let handle = away(&mut browser, "/hub/login/wiki").await;
    back(&mut browser, &handle).await.is(303);
    // A password of one's own would outlive every lock and rule of the provider.
    let typed = [("password", PASSWORD), ("password2", PASSWORD)];
    browser.get("/hub/password").await.is(403);
    browser.post("/hub/password", &typed).await.is(403);
    let store = &world.hub.store;
    let user = store.users(0, 1).await?.remove(0);
    assert!(!user.has_password);
    // An administrator may give one all the same, or a link: neither helps while the account is locked.
    let reset = world.hub.link(LinkKind::Reset, Some(&user), 60).await?;
    let link = world.hub.link(LinkKind::Signin, Some(&user), 60).await?;
    let mut by_reset = world.hub.browser();
    by_reset.get(&format!("/hub/link/{reset}")).await.is(200);
    by_reset
        .post(&format!("/hub/link/{reset}"), &typed)
        .await
        .is(303);
    let identity = store.identity("https://wiki.example", "7").await?;
    let identity = identity.ok_or("no identity")?;
    store.put_out(&identity, "locked").await?;
    let mut by_password = world.hub.browser();
    by_password.get("/hub/login").await.is(200);
    let fields = [("username", user.name.as_str()), ("password", PASSWORD)];
    let page = by_password.post("/hub/login", &fields).await.is(403);
    assert!(page.body.contains("cannot be used here"), "{}", page.body);
    by_password.get("/hub/home").await.is(303);
    let mut by_link = world.hub.browser();
    by_link.get(&format!("/hub/link/{link}")).await.is(403);
    by_link.get("/hub/home").await.is(303);
    assert!(store.sessions_of(user.id).await?.is_empty());
    Ok(())
}
