//! Pages as people meet them: whole, with their policies, for every name. With `HOLT_TEST_PAGES=<directory>` each is kept there.

use axum::body::Body;
use axum::http::Request;

use super::harness::{Answer, TestHub, Tried};
use crate::http::HttpSettings;
use crate::servers::ServerState;
use crate::store::links::LinkKind;

const NAME: &str = "Ünï \"Cödé\" (WMF)'s";

fn keep(name: &str, answer: &Answer) {
    assert!(
        answer.header("content-type").starts_with("text/html"),
        "{name}"
    );
    let policy = answer.header("content-security-policy");
    assert!(
        policy.contains("script-src 'self';") && policy.contains("frame-ancestors 'none'"),
        "{name}"
    );
    assert!(answer.body.trim_end().ends_with("</html>"), "{name}");
    assert!(
        !answer.body.contains(" style=")
            && !answer.body.contains("<style")
            && !answer.body.contains(" onclick"),
        "{name}"
    );
    if let Ok(directory) = std::env::var("HOLT_TEST_PAGES") {
        let path = std::path::Path::new(&directory).join(format!("{name}.html"));
        std::fs::write(path, &answer.body).expect("the directory is there");
    }
}

#[tokio::test]
async fn every_page_is_whole_and_has_its_policy() -> Tried {
    let hub = TestHub::with(HttpSettings {
        named_servers: true,
        ..HttpSettings::default()
    })
    .await?;
    let admin = hub.admin(NAME).await?;
    let rook = hub.user("rook").await?;
    hub.user(&("🦦".repeat(63) + "abc")).await?;
    hub.user("'; rm -rf ~").await?;
    let secrets = hub.server(&rook, "").await?;
    let mut nobody = hub.browser();
    keep("login", &nobody.get("/hub/login").await.is(200));
    keep(
        "login-wrong",
        &nobody
            .post("/hub/login", &[("username", "rook"), ("password", "x")])
            .await
            .is(403),
    );
    let link = hub.link(LinkKind::Invite, None, 600).await?;
    keep(
        "link-invite",
        &nobody.get(&format!("/hub/link/{link}")).await.is(200),
    );
    let link = hub.link(LinkKind::Reset, Some(&rook), 600).await?;
    keep(
        "link-reset",
        &nobody.get(&format!("/hub/link/{link}")).await.is(200),
    );
    keep("link-over", &nobody.get("/hub/link/nothing").await.is(410));
    keep("error-404", &nobody.get("/hub/nothing").await.is(404));
    keep("error-503", &nobody.get("/hub/error/503").await.is(200));

    let fresh = hub.store.create_user("fresh", false, None).await?;
    let link = hub.link(LinkKind::Signin, Some(&fresh), 600).await?;
    let mut newcomer = hub.browser();
    newcomer.get(&format!("/hub/link/{link}")).await.is(303);
    keep("welcome", &newcomer.get("/hub/welcome").await.is(200));
    let mistake = newcomer
        .post(
            "/hub/welcome",
            &[
                ("username", "rook"),
                ("password", "12345678"),
                ("password2", "12345678"),
            ],
        )
        .await;
    keep("welcome-taken", &mistake.is(400));

    let mut browser = hub.signed_in(&admin).await;
    keep("home-stopped", &browser.get("/hub/home").await.is(200));
    let id = hub.servers.put(&admin, "", ServerState::Starting).await;
    hub.servers.say("step", 10, "Asked for a container");
    hub.servers.say("step", 40, "The container is there");
    keep(
        "spawn-pending",
        &browser
            .get("/hub/spawn-pending/%C3%9Cn%C3%AF%20%22C%C3%B6d%C3%A9%22%20%28WMF%29%27s")
            .await
            .is(200),
    );
    hub.servers.queue(3, Some(40));
    keep(
        "spawn-queued",
        &browser
            .get("/hub/spawn-pending/%C3%9Cn%C3%AF%20%22C%C3%B6d%C3%A9%22%20%28WMF%29%27s")
            .await
            .is(200),
    );
    hub.servers.fail(
        id,
        "The container ended with code 137: it used more memory than its limit of 3.0 GiB.\nKilled",
    );
    keep(
        "spawn-failed",
        &browser
            .get("/hub/spawn-pending/%C3%9Cn%C3%AF%20%22C%C3%B6d%C3%A9%22%20%28WMF%29%27s")
            .await
            .is(500),
    );
    keep("home-failed", &browser.get("/hub/home").await.is(200));
    hub.servers.put(&admin, "", ServerState::Ready).await;
    hub.servers.put(&admin, "lab", ServerState::Stopped).await;
    hub.servers
        .put(&admin, "heavy-work", ServerState::Starting)
        .await;
    keep("home", &browser.get("/hub/home").await.is(200));
    keep(
        "not-running",
        &browser
            .get("/hub/user/%C3%9Cn%C3%AF%20%22C%C3%B6d%C3%A9%22%20%28WMF%29%27s/lab/x")
            .await
            .is(424),
    );
    keep("admin", &browser.get("/hub/admin").await.is(200));
    keep(
        "admin-delete",
        &browser
            .get(&format!("/hub/admin/users/{}/delete", rook.id))
            .await
            .is(200),
    );
    keep(
        "admin-invite",
        &browser
            .post("/hub/admin/invite", &[("admin", "1")])
            .await
            .is(200),
    );
    keep(
        "admin-reset",
        &browser
            .post(&format!("/hub/admin/users/{}/reset", rook.id), &[])
            .await
            .is(200),
    );
    keep("password", &browser.get("/hub/password").await.is(200));
    let query = super::harness::form(&[
        ("client_id", &secrets.client_id),
        ("response_type", "code"),
        ("state", "s"),
    ]);
    keep(
        "visit",
        &browser
            .get(&format!("/hub/api/oauth2/authorize?{query}"))
            .await
            .is(200),
    );
    keep("logout", &browser.get("/hub/logout").await.is(200));
    Ok(())
}

#[tokio::test]
async fn the_home_page_keeps_the_ids_that_scripts_use() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let mut browser = hub.signed_in(&user).await;
    assert!(
        browser
            .get("/hub/home")
            .await
            .is(200)
            .body
            .contains(r#"id="start""#)
    );
    hub.servers.put(&user, "", ServerState::Ready).await;
    let page = browser.get("/hub/home").await.is(200);
    assert!(page.body.contains(r#"id="stop""#) && page.body.contains(r#"href="/user/rook/""#));
    browser.post("/hub/stop/rook", &[]).await.is(303);
    assert_eq!(hub.servers.state(&user, ""), Some(ServerState::Stopped));
    Ok(())
}

#[tokio::test]
async fn administration_is_for_administrators() -> Tried {
    let hub = TestHub::new().await?;
    let admin = hub.admin("king").await?;
    let user = hub.user("rook").await?;
    let mut browser = hub.signed_in(&user).await;
    browser.get("/hub/admin").await.is(403);
    for path in ["invite", "users/1/reset", "users/2/admin", "users/1/delete"] {
        browser
            .post(&format!("/hub/admin/{path}"), &[("admin", "1")])
            .await
            .is(403);
    }
    let mut boss = hub.signed_in(&admin).await;
    boss.post(
        &format!("/hub/admin/users/{}/admin", admin.id),
        &[("admin", "0")],
    )
    .await
    .is(400);
    boss.post(&format!("/hub/admin/users/{}/delete", admin.id), &[])
        .await
        .is(400);
    boss.post(
        &format!("/hub/admin/users/{}/admin", user.id),
        &[("admin", "1")],
    )
    .await
    .is(303);
    browser.get("/hub/admin").await.is(200);
    boss.post(&format!("/hub/admin/users/{}/delete", user.id), &[])
        .await
        .is(303);
    browser.get("/hub/home").await.is(303);
    boss.post(&format!("/hub/admin/users/{}/delete", user.id), &[])
        .await
        .is(404);
    boss.get("/hub/admin/users/x/delete").await.is(400);
    Ok(())
}

#[tokio::test]
async fn names_are_text_and_never_markup() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub
        .admin("<script>alert(1)</script>'\"&".replace('/', "\\").as_str())
        .await?;
    let mut browser = hub.signed_in(&user).await;
    for path in ["/hub/home", "/hub/admin", "/hub/password"] {
        let page = browser.get(path).await.is(200);
        assert!(!page.body.contains("<script>alert"), "{path}");
    }
    let page = hub
        .browser()
        .get("/hub/login?next=%22%3E%3Cscript%3E")
        .await
        .is(200);
    assert!(!page.body.contains("><script>\""));
    Ok(())
}

#[tokio::test]
async fn health_readiness_and_metrics() -> Tried {
    let hub = TestHub::new().await?;
    hub.send(Request::get("/hub/health").body(Body::empty())?)
        .await
        .is(200);
    let ready = hub
        .send(Request::get("/hub/ready").body(Body::empty())?)
        .await
        .is(200);
    assert_eq!(ready.json()["ready"], true);
    hub.send(Request::get("/hub/metrics").body(Body::empty())?)
        .await
        .is(403);
    hub.store.close().await;
    hub.send(Request::get("/hub/ready").body(Body::empty())?)
        .await
        .is(503);
    let page = hub
        .send(
            Request::get("/hub/home")
                .header("x-request-id", "abc-1")
                .body(Body::empty())?,
        )
        .await;
    assert_eq!(page.header("x-request-id"), "abc-1");
    Ok(())
}

#[tokio::test]
async fn a_failing_database_is_a_500_that_says_nothing_inner() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let mut browser = hub.signed_in(&user).await;
    hub.store.close().await;
    let page = browser.get("/hub/home").await.is(500);
    assert!(
        page.body.contains("Something went wrong") && !page.body.to_lowercase().contains("pool")
    );
    assert!(page.body.contains(page.header("x-request-id")));
    Ok(())
}
