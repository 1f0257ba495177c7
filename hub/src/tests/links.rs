//! Sign-in, invitation and reset links.

use axum::body::Body;
use axum::http::{Method, Request, header};

use super::harness::{PASSWORD, TestHub, Tried};
use crate::store::links::LinkKind;

#[tokio::test]
async fn a_sign_in_link_signs_in_once_and_offers_a_name_and_a_password() -> Tried {
    let hub = TestHub::new().await?;
    let admin = hub.store.create_user("root", true, None).await?;
    let path = format!(
        "/hub/link/{}",
        hub.link(LinkKind::Signin, Some(&admin), 1800).await?
    );
    let mut browser = hub.browser();
    let answer = browser.get(&path).await.is(303);
    assert_eq!(answer.location(), "/hub/welcome?next=/hub/spawn");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    let again = hub.browser().get(&path).await.is(410);
    assert!(again.body.contains("each link works once") && again.body.contains("holt user link"));

    let page = browser.get("/hub/welcome?next=/hub/spawn").await.is(200);
    assert!(page.body.contains("Skip for now"));
    let fields = [
        ("username", "Ünï \"Cödé\" (WMF)'s"),
        ("password", PASSWORD),
        ("password2", PASSWORD),
    ];
    let answer = browser
        .post("/hub/welcome?next=/hub/spawn", &fields)
        .await
        .is(303);
    assert_eq!(answer.location(), "/hub/spawn");
    let home = browser.get("/hub/home").await.is(200);
    assert!(
        home.body.contains("Hello, Ünï &#34;Cödé&#34; (WMF)&#39;s"),
        "{}",
        home.body
    );
    Ok(())
}

#[tokio::test]
async fn the_welcome_can_be_skipped() -> Tried {
    let hub = TestHub::new().await?;
    let admin = hub.store.create_user("root", true, None).await?;
    let path = format!(
        "/hub/link/{}",
        hub.link(LinkKind::Signin, Some(&admin), 1800).await?
    );
    let mut browser = hub.browser();
    browser.get(&path).await.is(303);
    browser.get("/hub/welcome").await.is(200);
    let answer = browser
        .post("/hub/welcome?next=/hub/home", &[("skip", "1")])
        .await
        .is(303);
    assert_eq!(answer.location(), "/hub/home");
    let answer = browser.get("/hub/login").await.is(303);
    assert_eq!(answer.location(), "/hub/spawn");
    Ok(())
}

#[tokio::test]
async fn what_only_looks_at_a_link_does_not_use_it_up() -> Tried {
    let hub = TestHub::new().await?;
    let admin = hub.store.create_user("root", true, None).await?;
    let path = format!(
        "/hub/link/{}",
        hub.link(LinkKind::Signin, Some(&admin), 1800).await?
    );
    let looks: [&[(&str, &str)]; 5] = [
        &[],
        &[(
            "user-agent",
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        )],
        &[("user-agent", "Mozilla/5.0 (compatible; Googlebot/2.1)")],
        &[("user-agent", "Mozilla/5.0 X"), ("sec-fetch-mode", "cors")],
        &[
            ("sec-fetch-mode", "navigate"),
            ("sec-purpose", "prefetch;prerender"),
        ],
    ];
    for headers in looks {
        let mut request = Request::get(&path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = hub.send(request.body(Body::empty())?).await.is(200);
        assert!(answer.body.contains("Sign in as root"));
    }
    let request = Request::builder()
        .method(Method::HEAD)
        .uri(&path)
        .header("sec-fetch-mode", "navigate");
    hub.send(request.body(Body::empty())?).await.is(200);
    // The button on that page, for people whose browser says nothing about itself.
    let mut browser = hub.browser();
    let request = Request::get(&path).header(header::USER_AGENT, "curl/8");
    browser.send(request.body(Body::empty())?).await.is(200);
    browser.post_bare(&path, &[]).await.is(403);
    browser.post(&path, &[]).await.is(303);
    browser.get("/hub/home").await.is(200);
    Ok(())
}

#[tokio::test]
async fn an_expired_or_unknown_link_says_what_to_do() -> Tried {
    let hub = TestHub::new().await?;
    let admin = hub.store.create_user("root", true, None).await?;
    let path = format!(
        "/hub/link/{}",
        hub.link(LinkKind::Signin, Some(&admin), 0).await?
    );
    assert!(
        hub.browser()
            .get(&path)
            .await
            .is(410)
            .body
            .contains("too old")
    );
    assert!(
        hub.browser()
            .get("/hub/link/nonsense")
            .await
            .is(410)
            .body
            .contains("no such link")
    );
    hub.browser()
        .get(&format!("/hub/link/{}", "x".repeat(5000)))
        .await
        .is(410);
    Ok(())
}

#[tokio::test]
async fn an_invited_person_chooses_a_name() -> Tried {
    let hub = TestHub::new().await?;
    let admin = hub.admin("root").await?;
    let mut boss = hub.signed_in(&admin).await;
    boss.get("/hub/admin").await.is(200);
    let made = boss.post("/hub/admin/invite", &[]).await.is(200);
    let raw = made
        .body
        .split("https://hub.example/hub/link/")
        .nth(1)
        .and_then(|rest| rest.get(..43))
        .ok_or("no link")?;
    let path = format!("/hub/link/{raw}");

    let mut browser = hub.browser();
    browser.get(&path).await.is(200);
    let fields = |name| {
        [
            ("username", name),
            ("password", PASSWORD),
            ("password2", PASSWORD),
        ]
    };
    for (name, status, words) in [
        ("a/b", 400, "must not contain"),
        ("", 400, "must not be empty"),
        ("..", 400, "dots only"),
        ("root", 409, "taken"),
    ] {
        let answer = browser.post(&path, &fields(name)).await.is(status);
        assert!(answer.body.contains(words), "{name}: {}", answer.body);
    }
    browser
        .post(
            &path,
            &[
                ("username", "x"),
                ("password", "short"),
                ("password2", "short"),
            ],
        )
        .await
        .is(400);
    let emoji = "🦦".repeat(63) + "abc";
    let answer = browser.post(&path, &fields(&emoji)).await.is(303);
    assert_eq!(answer.location(), "/hub/spawn");
    hub.browser().get(&path).await.is(410);
    let home = browser.get("/hub/home").await.is(200);
    assert!(home.body.contains(&emoji));
    Ok(())
}

#[tokio::test]
async fn a_reset_link_sets_the_password_and_ends_every_session() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let mut old = hub.signed_in(&user).await;
    let path = format!(
        "/hub/link/{}",
        hub.link(LinkKind::Reset, Some(&user), 1800).await?
    );
    let mut browser = hub.browser();
    browser.get(&path).await.is(200);
    let fields = [
        ("password", "a new password"),
        ("password2", "a new password"),
    ];
    browser.post(&path, &fields).await.is(303);
    old.get("/hub/home").await.is(303);
    browser.get("/hub/home").await.is(200);
    let mut fresh = hub.browser();
    fresh.get("/hub/login").await;
    fresh
        .post(
            "/hub/login",
            &[("username", "rook"), ("password", PASSWORD)],
        )
        .await
        .is(403);
    fresh
        .post(
            "/hub/login",
            &[("username", "rook"), ("password", "a new password")],
        )
        .await
        .is(303);
    Ok(())
}
