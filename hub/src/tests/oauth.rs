//! Visitors of servers: who gets a code, and what it is good for.

use super::harness::{Answer, TestBrowser, TestHub, Tried, form};
use crate::oauth_provider::ServerSecrets;
use crate::secret;
use serde_json::json;

pub(super) const CALLBACK: &str = "/user/rook/oauth_callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(super) fn authorize(secrets: &ServerSecrets, more: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("client_id", secrets.client_id.as_str()),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("state", "a+b/c=d e&f"),
    ];
    fields.extend_from_slice(more);
    format!("/hub/api/oauth2/authorize?{}", form(&fields))
}

pub(super) fn code(answer: &Answer) -> &str {
    let (address, query) = answer.location().split_once('?').expect("a query");
    assert_eq!(address, CALLBACK);
    let (code, state) = query.split_once('&').expect("code and state");
    assert_eq!(state, "state=a%2Bb%2Fc%3Dd%20e%26f");
    code.strip_prefix("code=").expect("a code")
}

async fn code_for(
    browser: &mut TestBrowser<'_>,
    secrets: &ServerSecrets,
    more: &[(&str, &str)],
) -> String {
    let answer = browser.get(&authorize(secrets, more)).await.is(302);
    utf8(code(&answer))
}

pub(super) fn utf8(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

pub(super) fn fields<'a>(secrets: &'a ServerSecrets, code: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("client_id", &secrets.client_id),
        ("client_secret", &secrets.api_token),
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
    ]
}

#[tokio::test]
async fn a_visitor_of_their_own_server_is_signed_in_without_a_question() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let secrets = hub.server(&user, "").await?;
    // Signed out, one is sent to sign in and comes back to the very same request.
    let mut browser = hub.browser();
    let path = authorize(&secrets, &[]);
    let login = browser.get(&path).await.is(303).location().to_owned();
    assert!(login.starts_with("/hub/login?next=/hub/api/oauth2/authorize%3F"));
    browser.get(&login).await.is(200);
    let back = browser
        .post(
            &login,
            &[("username", "rook"), ("password", super::harness::PASSWORD)],
        )
        .await
        .is(303);
    assert_eq!(back.location(), path);

    let answer = browser.get(&path).await.is(302);
    let code = utf8(code(&answer));
    let granted = hub.exchange(&fields(&secrets, &code)).await.is(200);
    assert_eq!(granted.header("cache-control"), "no-store");
    let granted = granted.json();
    assert_eq!(granted["token_type"], "Bearer");
    assert_eq!(granted["expires_in"], 1_209_600);
    assert_eq!(
        granted["scope"],
        "access:servers!server=rook/ read:users:name!user read:users:groups!user"
    );
    let token = granted["access_token"].as_str().ok_or("no token")?;

    let who = hub.call("GET", "/hub/api/user", token, "").await.is(200);
    assert_eq!(who.header("x-jupyterhub-version"), "5.5.4");
    let who = who.json();
    assert_eq!(who["kind"], "user");
    assert_eq!(who["name"], "rook");
    assert_eq!(who["admin"], false);
    assert_eq!(who["groups"], json!([]));
    assert_eq!(
        who["session_id"],
        browser.cookies["jupyterhub-session-id"].as_str()
    );
    assert!(
        who["token_id"]
            .as_str()
            .is_some_and(|id| id.starts_with('a'))
    );
    assert_eq!(
        who["scopes"],
        json!([
            "access:servers!server=rook/",
            "read:users:groups!user=rook",
            "read:users:name!user=rook"
        ])
    );

    // Leaving the hub ends it, and the proxy is told.
    browser.get("/hub/logout").await.is(200);
    hub.call("GET", "/hub/api/user", token, "").await.is(403);
    let forgotten = hub.forgotten.0.lock().expect("not poisoned").clone();
    assert_eq!(forgotten[0].1, [secret::hash(token)]);
    Ok(())
}

#[tokio::test]
async fn a_code_works_once_for_its_client_its_secret_and_its_address() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let other = hub.user("pawn").await?;
    let secrets = hub.server(&user, "").await?;
    let foreign = hub.server(&other, "").await?;
    let mut browser = hub.signed_in(&user).await;

    let code = code_for(&mut browser, &secrets, &[]).await;
    let mut wrong = fields(&secrets, &code);
    wrong[1].1 = "wrong";
    assert_eq!(
        hub.exchange(&wrong).await.is(401).json()["error"],
        "invalid_client"
    );
    wrong = fields(&foreign, &code);
    assert_eq!(
        hub.exchange(&wrong).await.is(400).json()["error"],
        "invalid_grant"
    );
    wrong = fields(&secrets, &code);
    wrong[2].1 = "password";
    assert_eq!(
        hub.exchange(&wrong).await.is(400).json()["error"],
        "unsupported_grant_type"
    );
    // Neither a stranger's try nor a wrong secret used it up.
    hub.exchange(&fields(&secrets, &code)).await.is(200);
    let again = hub.exchange(&fields(&secrets, &code)).await.is(400).json();
    assert_eq!(again["error"], "invalid_grant");
    assert!(
        again["error_description"]
            .as_str()
            .is_some_and(|words| words.contains("used already"))
    );

    let code = code_for(&mut browser, &secrets, &[]).await;
    wrong = fields(&secrets, &code);
    wrong[4].1 = "/user/pawn/oauth_callback";
    assert_eq!(
        hub.exchange(&wrong).await.is(400).json()["error"],
        "invalid_grant"
    );
    let twice = [fields(&secrets, &code).as_slice(), &[("code", "x")]].concat();
    assert_eq!(
        hub.exchange(&twice).await.is(400).json()["error"],
        "invalid_request"
    );
    Ok(())
}

#[tokio::test]
async fn a_code_dies_with_its_session() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let secrets = hub.server(&user, "").await?;
    let mut browser = hub.signed_in(&user).await;
    let code = code_for(&mut browser, &secrets, &[]).await;
    browser.get("/hub/logout").await.is(200);
    hub.exchange(&fields(&secrets, &code)).await.is(400);
    Ok(())
}

#[tokio::test]
async fn pkce_is_verified_when_offered() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let secrets = hub.server(&user, "").await?;
    let mut browser = hub.signed_in(&user).await;
    let s256 = [
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let with = |code: &str, verifier: Option<&str>| {
        let mut all: Vec<(String, String)> = fields(&secrets, code)
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        all.extend(verifier.map(|verifier| ("code_verifier".to_owned(), verifier.to_owned())));
        all
    };
    for (challenge, verifier, error) in [
        (true, Some(VERIFIER), None),
        (true, None, Some("invalid_request")),
        (true, Some("wrong"), Some("invalid_grant")),
        (false, Some(VERIFIER), Some("invalid_grant")),
        (false, None, None),
    ] {
        let code = code_for(&mut browser, &secrets, if challenge { &s256 } else { &[] }).await;
        let all = with(&code, verifier);
        let all: Vec<(&str, &str)> = all.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let answer = hub.exchange(&all).await;
        match error {
            None => assert_eq!(answer.status, 200, "{challenge} {verifier:?}"),
            Some(error) => {
                assert_eq!(
                    answer.is(400).json()["error"],
                    error,
                    "{challenge} {verifier:?}"
                );
                // A code that was shown wrongly is gone.
                hub.exchange(
                    &with(&code, Some(VERIFIER))
                        .iter()
                        .map(|(k, v)| (k.as_str(), v.as_str()))
                        .collect::<Vec<_>>(),
                )
                .await
                .is(400);
            }
        }
    }
    for refused in [
        vec![("code_challenge", CHALLENGE)],
        vec![
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "plain"),
        ],
        vec![
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S512"),
        ],
        vec![
            ("code_challenge", "short"),
            ("code_challenge_method", "S256"),
        ],
        vec![("code_challenge_method", "S256")],
    ] {
        let answer = browser.get(&authorize(&secrets, &refused)).await.is(302);
        assert!(
            answer
                .location()
                .starts_with("/user/rook/oauth_callback?error=invalid_request&"),
            "{refused:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_sent_to_an_address_that_is_not_the_clients() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let secrets = hub.server(&user, "").await?;
    let mut browser = hub.signed_in(&user).await;
    for query in [
        form(&[("response_type", "code")]),
        form(&[
            ("client_id", "jupyterhub-user-nobody"),
            ("response_type", "code"),
        ]),
        form(&[
            ("client_id", &secrets.client_id),
            ("redirect_uri", "https://evil.example/"),
            ("response_type", "code"),
        ]),
        form(&[
            ("client_id", &secrets.client_id),
            ("client_id", "x"),
            ("response_type", "code"),
        ]),
    ] {
        let answer = browser
            .get(&format!("/hub/api/oauth2/authorize?{query}"))
            .await
            .is(400);
        assert!(
            answer.header("content-type").starts_with("text/html"),
            "{query}"
        );
    }
    for (query, error) in [
        (
            form(&[("client_id", &secrets.client_id)]),
            "invalid_request",
        ),
        (
            form(&[
                ("client_id", &secrets.client_id),
                ("response_type", "token"),
            ]),
            "unsupported_response_type",
        ),
        (
            form(&[
                ("client_id", &secrets.client_id),
                ("response_type", "code"),
                ("scope", "admin:users"),
            ]),
            "invalid_scope",
        ),
    ] {
        let answer = browser
            .get(&format!("/hub/api/oauth2/authorize?{query}"))
            .await
            .is(302);
        assert!(
            answer
                .location()
                .starts_with(&format!("{CALLBACK}?error={error}&")),
            "{}",
            answer.location()
        );
    }
    Ok(())
}
