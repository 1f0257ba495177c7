//! OAuth 2.0: codes, proofs, refreshes and profiles, and how each is refused.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use holt_tests::wiki::{Arrived, Consent, Consumer, Hidden, Release, Stage, Visitor, Wiki};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::client::{CALLBACK, KEY, NAME, SECRET, SUB, http};
use crate::recording::field;

const VERIFIER: &str = "0123456789-0123456789_0123456789.0123456789~";

fn wiki() -> Result<Wiki> {
    let wiki = Wiki::start()?;
    wiki.account(SUB, NAME);
    wiki.consumer(Consumer::oauth2(KEY, SECRET, CALLBACK));
    Ok(wiki)
}

fn start(wiki: &Wiki, more: &str) -> String {
    let rest = wiki.rest_url();
    format!("{rest}/oauth2/authorize?response_type=code&client_id={KEY}&state=s{more}")
}

fn to_callback(more: &str) -> String {
    format!("&redirect_uri={CALLBACK}{more}")
}

async fn code(wiki: &Wiki, more: &str) -> Result<String> {
    let back = Visitor::new(NAME)?
        .comes_back(&start(wiki, &to_callback(more)), Consent::Accept)
        .await?;
    let query = back.query().context("a query")?;
    assert_eq!(field(query, "state")?, "s");
    field(query, "code")
}

async fn ask(wiki: &Wiki, fields: &[(&str, &str)]) -> Result<(u16, Value)> {
    let mut all = vec![("client_id", KEY), ("client_secret", SECRET)];
    all.retain(|(name, _)| fields.iter().all(|(known, _)| known != name));
    all.extend(fields.iter().filter(|(_, value)| !value.is_empty()));
    let address = format!("{}/oauth2/access_token", wiki.rest_url());
    let answer = http()?.post(address).form(&all).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

async fn exchange(wiki: &Wiki, code: &str, more: &[(&str, &str)]) -> Result<(u16, Value)> {
    let mut fields = vec![("grant_type", "authorization_code"), ("code", code)];
    if more.iter().all(|(name, _)| *name != "redirect_uri") {
        fields.push(("redirect_uri", CALLBACK));
    }
    fields.extend(more);
    ask(wiki, &fields).await
}

async fn refresh(wiki: &Wiki, token: &Value) -> Result<(u16, Value)> {
    let token = token.as_str().context("a token")?;
    ask(
        wiki,
        &[("grant_type", "refresh_token"), ("refresh_token", token)],
    )
    .await
}

async fn profile(wiki: &Wiki, token: &Value) -> Result<(u16, Value)> {
    let answer = http()?
        .get(format!("{}/oauth2/resource/profile", wiki.rest_url()))
        .bearer_auth(token.as_str().context("a token")?)
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

#[tokio::test]
async fn a_client_for_signing_in_only_goes_straight_through_the_second_time() -> Result<()> {
    let wiki = wiki()?;
    let (status, said) = exchange(&wiki, &code(&wiki, "").await?, &[]).await?;
    assert_eq!(status, 200, "{said}");
    assert_eq!(
        said["access_token"].as_str().unwrap().matches('.').count(),
        2
    );
    let (status, person) = profile(&wiki, &said["access_token"]).await?;
    assert_eq!((status, &person["username"]), (200, &Value::from(NAME)));
    let back = Visitor::new(NAME)?
        .comes_back(&start(&wiki, &to_callback("")), Consent::Decline)
        .await?;
    assert!(back.query().context("a query")?.starts_with("code="));
    Ok(())
}

#[tokio::test]
async fn a_proof_that_does_not_fit_is_refused_and_spends_nothing() -> Result<()> {
    let wiki = wiki()?;
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let more = format!("&code_challenge={challenge}&code_challenge_method=S256");
    let code = code(&wiki, &more).await?;
    let wrong = VERIFIER.replace('0', "1");
    for (verifier, status, error) in [
        ("", 400, "invalid_request"),
        ("short", 400, "invalid_request"),
        (wrong.as_str(), 400, "invalid_grant"),
    ] {
        let found = exchange(&wiki, &code, &[("code_verifier", verifier)]).await?;
        assert_eq!((found.0, &found.1["error"]), (status, &Value::from(error)));
    }
    let (status, said) = exchange(&wiki, &code, &[("code_verifier", VERIFIER)]).await?;
    assert_eq!(status, 200, "{said}");
    Ok(())
}

#[tokio::test]
async fn a_client_without_a_secret_must_prove_itself() -> Result<()> {
    let wiki = wiki()?;
    wiki.consumer(Consumer::oauth2_public(KEY, CALLBACK));
    let stays = Visitor::new(NAME)?
        .go(&start(&wiki, &to_callback("")), Consent::Accept)
        .await?;
    assert!(
        matches!(stays, Arrived::Stays { status: 400, .. }),
        "{stays:?}"
    );
    let code = code(&wiki, &format!("&code_challenge={VERIFIER}")).await?;
    let fields = [("code_verifier", VERIFIER), ("client_secret", "")];
    let (status, said) = exchange(&wiki, &code, &fields).await?;
    assert_eq!(status, 200, "{said}");
    let (status, refused) = refresh(&wiki, &said["refresh_token"]).await?;
    assert_eq!(
        (status, &refused["error"]),
        (401, &Value::from("invalid_client"))
    );
    Ok(())
}

#[tokio::test]
async fn a_code_is_refused_with_the_reason() -> Result<()> {
    let wiki = wiki()?;
    let good = code(&wiki, "").await?;
    for (code, more, status, hint) in [
        (
            "garbage",
            vec![],
            400,
            Some("Cannot decrypt the authorization code"),
        ),
        (
            &good,
            vec![("redirect_uri", "")],
            400,
            Some("Check the `redirect_uri` parameter"),
        ),
        (
            &good,
            vec![("redirect_uri", "http://127.0.0.1:8000/")],
            401,
            None,
        ),
        (&good, vec![("client_secret", "wrong")], 401, None),
    ] {
        let (found, said) = exchange(&wiki, code, &more).await?;
        assert_eq!((found, said["hint"].as_str()), (status, hint), "{said}");
    }
    wiki.expire_sign_ins();
    let (_, said) = exchange(&wiki, &good, &[]).await?;
    assert_eq!(said["hint"], "Authorization code has expired");
    Ok(())
}

#[tokio::test]
async fn a_denial_without_an_address_stays_on_the_wiki() -> Result<()> {
    let wiki = wiki()?;
    let visitor = Visitor::new(NAME)?;
    let stays = visitor.go(&start(&wiki, ""), Consent::Decline).await?;
    assert!(
        matches!(stays, Arrived::Stays { status: 400, .. }),
        "{stays:?}"
    );
    let back = visitor
        .comes_back(&start(&wiki, &to_callback("")), Consent::Decline)
        .await?;
    let query = back.query().context("a query")?;
    assert_eq!(field(query, "error")?, "unauthorized_client");
    assert!(field(query, "state").is_err());
    Ok(())
}

#[tokio::test]
async fn another_address_is_refused_on_the_wiki_but_for_ports_in_newer_releases() -> Result<()> {
    let wiki = wiki()?;
    let other = "&redirect_uri=http://127.0.0.1:8001/hub/oauth_callback";
    let visitor = Visitor::new(NAME)?;
    let stays = visitor.go(&start(&wiki, other), Consent::Accept).await?;
    assert!(
        matches!(stays, Arrived::Stays { status: 401, .. }),
        "{stays:?}"
    );
    wiki.set_release(Release::Master);
    let back = visitor
        .comes_back(&start(&wiki, other), Consent::Accept)
        .await?;
    assert_eq!(back.port(), Some(8001));
    Ok(())
}

#[tokio::test]
async fn a_lost_refresh_is_forgiven_only_by_newer_releases() -> Result<()> {
    for (release, status, error) in [
        (Release::Lts143, 401, "invalid_request"),
        (Release::Master, 400, "invalid_grant"),
    ] {
        let wiki = wiki()?;
        wiki.set_release(release);
        let (_, said) = exchange(&wiki, &code(&wiki, "").await?, &[]).await?;
        assert_eq!(refresh(&wiki, &said["refresh_token"]).await?.0, 200);
        let (again, _) = refresh(&wiki, &said["refresh_token"]).await?;
        assert_eq!(again == 200, release == Release::Master);
        wiki.pass(601);
        let (late, refused) = refresh(&wiki, &said["refresh_token"]).await?;
        assert_eq!((late, &refused["error"]), (status, &Value::from(error)));
    }
    Ok(())
}

#[tokio::test]
async fn a_profile_is_no_lock_check_but_a_revoked_grant_ends_it() -> Result<()> {
    let wiki = wiki()?;
    let (_, said) = exchange(&wiki, &code(&wiki, "").await?, &[]).await?;
    let token = &said["access_token"];
    wiki.change_account(SUB, |account| account.locked = true)?;
    wiki.change_consumer(KEY, |client| client.stage = Stage::Disabled)?;
    let (status, person) = profile(&wiki, token).await?;
    assert_eq!((status, &person["rights"]), (200, &serde_json::json!([])));
    wiki.change_account(SUB, |account| account.hidden = Hidden::Suppressed)?;
    let (_, person) = profile(&wiki, token).await?;
    assert_eq!(
        person,
        serde_json::json!({"sub": "7000003", "blocked": true})
    );
    wiki.revoke(KEY, SUB);
    let (status, refused) = profile(&wiki, token).await?;
    assert_eq!(
        (status, &refused["hint"]),
        (401, &Value::from("Access token has been revoked"))
    );
    Ok(())
}

#[tokio::test]
async fn a_refresh_refused_for_a_disabled_client_is_spent() -> Result<()> {
    let wiki = wiki()?;
    let (_, said) = exchange(&wiki, &code(&wiki, "").await?, &[]).await?;
    let stage = |stage| move |client: &mut Consumer| client.stage = stage;
    wiki.change_consumer(KEY, stage(Stage::Disabled))?;
    let (status, refused) = refresh(&wiki, &said["refresh_token"]).await?;
    assert_eq!(
        (status, &refused["error"]),
        (401, &Value::from("access_denied"))
    );
    wiki.change_consumer(KEY, stage(Stage::Approved))?;
    let (_, refused) = refresh(&wiki, &said["refresh_token"]).await?;
    assert_eq!(refused["hint"], "Token has been revoked");
    assert_eq!(profile(&wiki, &said["access_token"]).await?.0, 401);
    Ok(())
}
