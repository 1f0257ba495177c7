//! The REST API: who may, bounds, errors, models.

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;

use super::harness::{TestHub, Tried};
use crate::servers::ServerState;

#[tokio::test]
async fn the_version_is_for_anybody() -> Tried {
    let hub = TestHub::new().await?;
    for path in ["/hub/api", "/hub/api/"] {
        let answer = hub
            .send(Request::get(path).body(Body::empty())?)
            .await
            .is(200);
        assert_eq!(answer.body, r#"{"version":"5.5.4"}"#);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("x-jupyterhub-version"), "5.5.4");
    }
    Ok(())
}

#[tokio::test]
async fn errors_are_json_with_status_and_message() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let token = hub.token(&user).await?;
    for (method, path, body, status) in [
        ("GET", "/hub/api/nothing", "", 404),
        ("GET", "/hub/api/users/rook/nothing", "", 404),
        ("PUT", "/hub/api/user", "", 405),
        ("GET", "/hub/api/users/rook/activity", "", 405),
        ("POST", "/hub/api/users/rook/activity", "{", 400),
        ("POST", "/hub/api/users/rook/activity", "[]", 400),
        ("POST", "/hub/api/users/rook/server", "[1]", 400),
        (
            "POST",
            "/hub/api/users/rook/servers/Not%20a%20Slug",
            "",
            400,
        ),
        ("GET", "/hub/api/users/%ff", "", 400),
        ("GET", "/hub/api/users/pawn", "", 404),
        ("GET", "/hub/api/users", "", 403),
        ("POST", "/hub/api/users", r#"{"usernames":["x"]}"#, 403),
        ("DELETE", "/hub/api/users/rook", "", 403),
    ] {
        let answer = hub.call(method, path, &token, body).await;
        assert_eq!(answer.status, status, "{method} {path} {}", answer.body);
        assert_eq!(answer.json()["status"], status, "{method} {path}");
        assert!(answer.json()["message"].is_string());
        assert_eq!(answer.header("x-jupyterhub-version"), "5.5.4");
        assert!(
            answer
                .header("content-security-policy")
                .contains("frame-ancestors 'none'")
        );
    }
    let huge = "x".repeat(300 << 10);
    hub.call("POST", "/hub/api/users/rook/activity", &token, &huge)
        .await
        .is(413);
    Ok(())
}

#[tokio::test]
async fn a_wrong_token_is_refused_even_beside_a_good_session() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let mut browser = hub.signed_in(&user).await;
    for value in [
        "token wrong",
        "bearer",
        "Basic cm9vazpwdw==",
        &format!("token {}", "x".repeat(100_000)),
    ] {
        let request = Request::get("/hub/api/user").header(header::AUTHORIZATION, value);
        let answer = browser.send(request.body(Body::empty())?).await.is(403);
        assert_eq!(answer.json()["message"], "Missing or invalid credentials.");
    }
    let token = hub.token(&user).await?;
    for scheme in ["token", "Bearer", "BEARER"] {
        let request = Request::get("/hub/api/user")
            .header(header::AUTHORIZATION, format!("{scheme} {token}"));
        hub.send(request.body(Body::empty())?).await.is(200);
    }
    Ok(())
}

#[tokio::test]
async fn a_write_by_cookie_needs_the_proof_and_json() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let mut browser = hub.signed_in(&user).await;
    let xsrf = browser.cookies["_xsrf"].clone();
    let bare = Request::post("/hub/api/users/rook/server").body(Body::empty())?;
    assert!(browser.send(bare).await.is(403).body.contains("_xsrf"));
    let form = Request::post("/hub/api/users/rook/server")
        .header("x-xsrftoken", &xsrf)
        .header(header::CONTENT_TYPE, "text/plain")
        .body(Body::empty())?;
    browser.send(form).await.is(403);
    let good = Request::post("/hub/api/users/rook/server")
        .header("x-xsrftoken", &xsrf)
        .body(Body::empty())?;
    browser.send(good).await.is(202);
    assert_eq!(hub.servers.state(&user, ""), Some(ServerState::Starting));
    Ok(())
}

#[tokio::test]
async fn activity_has_bounds() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    hub.user("pawn").await?;
    let secrets = hub.server(&user, "").await?;
    let path = "/hub/api/users/rook/activity";
    let post = async |body: serde_json::Value| {
        hub.call("POST", path, &secrets.api_token, &body.to_string())
            .await
    };
    let at = "2026-01-02T03:04:05.678901Z";
    let answer = post(json!({ "servers": { "": { "last_activity": at } }, "last_activity": at }))
        .await
        .is(200);
    assert_eq!(
        (answer.body.as_str(), answer.header("content-length")),
        ("", "0")
    );
    assert_eq!(
        hub.servers.activity.lock().expect("not poisoned")[..],
        [(String::new(), 1_767_323_045_678)]
    );
    let user = hub.store.user(user.id).await?.ok_or("gone")?;
    assert_eq!(user.last_activity, Some(1_767_323_045_678));
    post(json!({ "last_activity": "2020-01-02T03:04:05Z" }))
        .await
        .is(200);
    let same = hub.store.user(user.id).await?.ok_or("gone")?;
    assert_eq!(same.last_activity, user.last_activity);
    for wrong in [
        json!({}),
        json!({ "servers": [] }),
        json!({ "servers": { "nothing": { "last_activity": at } } }),
        json!({ "servers": { "": {} } }),
        json!({ "servers": { "": 5 } }),
        json!({ "last_activity": "soon" }),
        json!({ "last_activity": null }),
        json!({ "last_activity": "9026-01-02T03:04:05Z" }),
    ] {
        post(wrong).await.is(400);
    }
    let foreign = hub
        .call(
            "POST",
            "/hub/api/users/pawn/activity",
            &secrets.api_token,
            "{}",
        )
        .await;
    foreign.is(404);
    Ok(())
}

#[tokio::test]
async fn a_user_is_shown_by_what_one_may_see() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    hub.server(&user, "").await?;
    let token = hub.token(&user).await?;
    let mut model = hub
        .call("GET", "/hub/api/users/rook", &token, "")
        .await
        .is(200)
        .json();
    assert!(
        model["created"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z') && at.len() == 27)
    );
    model["created"] = json!("");
    model["last_activity"] = json!("");
    insta::assert_json_snapshot!(model, @r#"
    {
      "admin": false,
      "created": "",
      "groups": [],
      "kind": "user",
      "last_activity": "",
      "name": "rook",
      "pending": null,
      "roles": [
        "user"
      ],
      "server": "/user/rook/",
      "servers": {
        "": {
          "full_name": "rook/",
          "full_progress_url": "https://hub.example/hub/api/users/rook/server/progress",
          "full_url": "https://hub.example/user/rook/",
          "last_activity": null,
          "name": "",
          "pending": null,
          "progress_url": "/hub/api/users/rook/server/progress",
          "ready": true,
          "started": "2026-01-02T03:04:05.678000Z",
          "state": {},
          "stopped": false,
          "url": "/user/rook/",
          "user_options": {}
        }
      }
    }
    "#);
    Ok(())
}

#[tokio::test]
async fn servers_are_started_and_stopped() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let admin = hub.admin("king").await?;
    let token = hub.token(&user).await?;
    let path = "/hub/api/users/rook/server";
    hub.call(
        "POST",
        path,
        &token,
        r#"{"user_options":{"profile":"big"}}"#,
    )
    .await
    .is(202);
    hub.call("POST", path, &token, "").await.is(202);
    hub.servers.put(&user, "", ServerState::Ready).await;
    let answer = hub.call("POST", path, &token, "").await.is(400);
    assert_eq!(answer.json()["message"], "rook/ is already running");
    hub.call("DELETE", path, &token, "").await.is(204);
    hub.call("DELETE", path, &token, r#"{"remove":true}"#)
        .await
        .is(400);
    hub.call("POST", "/hub/api/users/rook/servers/lab", &token, "")
        .await
        .is(202);
    hub.call(
        "DELETE",
        "/hub/api/users/rook/servers/lab",
        &token,
        r#"{"remove":true}"#,
    )
    .await
    .is(204);
    hub.call("DELETE", "/hub/api/users/rook/servers/lab", &token, "")
        .await
        .is(404);
    let stranger = hub.token(&hub.user("pawn").await?).await?;
    hub.call("POST", path, &stranger, "").await.is(404);
    let boss = hub.token(&admin).await?;
    hub.call("POST", path, &boss, "").await.is(202);
    Ok(())
}

#[tokio::test]
async fn progress_is_told_until_the_end() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let token = hub.token(&user).await?;
    let path = "/hub/api/users/rook/server/progress";
    hub.call("GET", path, &token, "").await.is(404);
    let id = hub.servers.put(&user, "", ServerState::Ready).await;
    hub.servers.say("step", 50, "Making the container");
    let answer = hub.call("GET", path, &token, "").await.is(200);
    assert_eq!(answer.header("content-type"), "text/event-stream");
    insta::assert_snapshot!(answer.body, @r#"
    data: {"message":"Server requested","progress":0}

    data: {"html_message":"Server ready at <a href=\"/user/rook/\">/user/rook/</a>","message":"Server ready at /user/rook/","progress":100,"ready":true,"url":"/user/rook/"}
    "#);
    hub.servers.fail(id, "It ended with code 1.");
    let answer = hub.call("GET", path, &token, "").await.is(200);
    insta::assert_snapshot!(answer.body, @r#"
    data: {"message":"Server requested","progress":0}

    data: {"failed":true,"message":"Spawn failed: It ended with code 1.","progress":100}
    "#);
    hub.servers.put(&user, "", ServerState::Stopped).await;
    hub.call("GET", path, &token, "").await.is(400);
    Ok(())
}
