//! Who may visit whose server, and for how long.

use serde_json::json;

use super::harness::{Answer, TestHub, Tried, form};
use super::oauth::{CALLBACK, authorize, code, fields, utf8};
use crate::servers::ServerState;

#[tokio::test]
async fn a_stranger_is_refused_and_an_administrator_is_asked_once() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let stranger = hub.user("pawn").await?;
    let admin = hub.admin("king").await?;
    let secrets = hub.server(&user, "").await?;
    let path = authorize(&secrets, &[]);

    let mut browser = hub.signed_in(&stranger).await;
    let answer = browser.get(&path).await.is(403);
    assert!(
        answer
            .body
            .contains("You have no access to the notebook server of rook")
    );
    browser.post(&path, &[]).await.is(403);

    let mut browser = hub.signed_in(&admin).await;
    let page = browser.get(&path).await.is(200);
    assert!(page.body.contains("Visit the server of rook"));
    browser.post_bare(&path, &[]).await.is(403);
    let denied = browser.post(&path, &[("deny", "1")]).await.is(302);
    assert!(
        denied
            .location()
            .starts_with(&format!("{CALLBACK}?error=access_denied"))
    );
    let answer = browser.post(&path, &[]).await.is(302);
    let code = utf8(code(&answer));
    let token = hub.exchange(&fields(&secrets, &code)).await.is(200).json()["access_token"]
        .as_str()
        .map(str::to_owned);
    browser.get(&path).await.is(302);

    // Who is no administrator any more may not enter any more, with the same token.
    let token = token.ok_or("no token")?;
    let holds = |answer: Answer| answer.body.contains("access:servers!server=rook/");
    assert!(holds(
        hub.call("GET", "/hub/api/user", &token, "").await.is(200)
    ));
    hub.admin("queen").await?;
    hub.store.set_admin(admin.id, false).await?;
    assert!(!holds(
        hub.call("GET", "/hub/api/user", &token, "").await.is(200)
    ));
    Ok(())
}

#[tokio::test]
async fn a_new_launch_ends_what_the_last_one_had() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let old = hub.server(&user, "").await?;
    hub.call("GET", "/hub/api/user", &old.api_token, "")
        .await
        .is(200);
    let new = hub.server(&user, "").await?;
    assert_ne!(old.api_token, new.api_token);
    hub.call("GET", "/hub/api/user", &old.api_token, "")
        .await
        .is(403);
    let who = hub
        .call("GET", "/hub/api/user", &new.api_token, "")
        .await
        .is(200)
        .json();
    assert_eq!(
        who["scopes"],
        json!([
            "access:servers!server=rook/",
            "read:users:activity!user=rook",
            "users:activity!user=rook"
        ])
    );
    assert_eq!(hub.servers.state(&user, ""), Some(ServerState::Ready));
    Ok(())
}

#[tokio::test]
async fn strange_names_go_round() -> Tried {
    let hub = TestHub::new().await?;
    for name in [
        "Ünï \"Cödé\" (WMF)'s",
        "'; rm -rf ~",
        &("🦦".repeat(63) + "abc"),
        "100% & <b>?#+",
    ] {
        let user = hub.user(name).await?;
        let secrets = hub.server(&user, "").await?;
        let mut browser = hub.signed_in(&user).await;
        let query = form(&[("client_id", &secrets.client_id), ("response_type", "code")]);
        let answer = browser
            .get(&format!("/hub/api/oauth2/authorize?{query}"))
            .await
            .is(302);
        let prefix = holt_spec::names::server_prefix(name, "");
        let (address, query) = answer.location().split_once('?').ok_or("no query")?;
        assert_eq!(address, format!("{prefix}oauth_callback"));
        let code = utf8(query.strip_prefix("code=").ok_or("no code")?);
        let mut all = fields(&secrets, &code).to_vec();
        all.pop();
        let granted = hub.exchange(&all).await.is(200).json();
        let token = granted["access_token"].as_str().ok_or("no token")?;
        let who = hub
            .call("GET", "/hub/api/user", token, "")
            .await
            .is(200)
            .json();
        assert_eq!(who["name"], name);
        assert_eq!(who["scopes"][0], format!("access:servers!server={name}/"));
        let path = format!(
            "/hub/api/users/{}/activity",
            holt_spec::names::escape_segment(name)
        );
        let body = json!({ "last_activity": "2026-01-02T03:04:05.678901Z" }).to_string();
        let answer = hub
            .call("POST", &path, &secrets.api_token, &body)
            .await
            .is(200);
        assert_eq!(answer.header("content-length"), "0");
    }
    Ok(())
}
