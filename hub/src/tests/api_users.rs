//! The REST API for users and their tokens.

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;

use super::harness::{TestHub, Tried};

#[tokio::test]
async fn administrators_make_list_change_and_delete_users() -> Tried {
    let hub = TestHub::new().await?;
    let admin = hub.admin("king").await?;
    let token = hub.token(&admin).await?;
    let answer = hub
        .call(
            "POST",
            "/hub/api/users",
            &token,
            r#"{"usernames":["rook","Ünï"]}"#,
        )
        .await
        .is(201);
    assert_eq!(answer.json().as_array().map(Vec::len), Some(2));
    hub.call(
        "POST",
        "/hub/api/users",
        &token,
        r#"{"usernames":["rook"]}"#,
    )
    .await
    .is(409);
    hub.call("POST", "/hub/api/users", &token, r#"{"usernames":["a/b"]}"#)
        .await
        .is(400);
    hub.call("POST", "/hub/api/users", &token, r#"{"usernames":[]}"#)
        .await
        .is(400);
    let all = hub
        .call("GET", "/hub/api/users", &token, "")
        .await
        .is(200)
        .json();
    let names: Vec<_> = all
        .as_array()
        .ok_or("no list")?
        .iter()
        .map(|user| user["name"].clone())
        .collect();
    assert_eq!(names, ["king", "rook", "Ünï"]);
    let request = Request::get("/hub/api/users?limit=1&offset=1")
        .header(header::AUTHORIZATION, format!("token {token}"))
        .header(header::ACCEPT, "application/jupyterhub-pagination+json");
    let page = hub.send(request.body(Body::empty())?).await.is(200).json();
    assert_eq!(page["items"][0]["name"], "rook");
    assert_eq!(page["_pagination"]["total"], 3);
    assert_eq!(page["_pagination"]["next"]["offset"], 2);
    hub.call("GET", "/hub/api/users?state=odd", &token, "")
        .await
        .is(400);
    hub.call("GET", "/hub/api/users?limit=x", &token, "")
        .await
        .is(400);

    let path = "/hub/api/users/%C3%9Cn%C3%AF";
    let changed = hub
        .call("PATCH", path, &token, r#"{"name":"Uni","admin":true}"#)
        .await
        .is(200)
        .json();
    assert_eq!(
        (&changed["name"], &changed["admin"]),
        (&json!("Uni"), &json!(true))
    );
    // The same name again is no change, as a page that sends all fields does it.
    hub.call("PATCH", "/hub/api/users/Uni", &token, r#"{"name":"Uni"}"#)
        .await
        .is(200);
    hub.call("PATCH", "/hub/api/users/Uni", &token, r#"{"name":"king"}"#)
        .await
        .is(409);
    hub.call("PATCH", "/hub/api/users/Uni", &token, r#"{"color":"red"}"#)
        .await
        .is(400);
    hub.call("DELETE", "/hub/api/users/king", &token, "")
        .await
        .is(400);
    hub.call("DELETE", "/hub/api/users/Uni", &token, "")
        .await
        .is(204);
    hub.call("GET", "/hub/api/users/Uni", &token, "")
        .await
        .is(404);
    Ok(())
}

#[tokio::test]
async fn tokens_give_no_more_than_their_maker_has() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let token = hub.token(&user).await?;
    let path = "/hub/api/users/rook/tokens";
    for wrong in [
        json!({ "scopes": ["admin:users"] }),
        json!({ "scopes": ["servers"] }),
        json!({ "scopes": ["everything"] }),
        json!({ "scopes": "servers" }),
        json!({ "expires_in": 0 }),
        json!({ "note": 5 }),
        json!({ "roles": ["admin"] }),
    ] {
        hub.call("POST", path, &token, &wrong.to_string())
            .await
            .is(400);
    }
    let made = hub
        .call(
            "POST",
            path,
            &token,
            r#"{"scopes":["read:users:name!user"],"expires_in":60}"#,
        )
        .await
        .is(201)
        .json();
    let raw = made["token"].as_str().ok_or("no token")?;
    let who = hub
        .call("GET", "/hub/api/user", raw, "")
        .await
        .is(200)
        .json();
    assert_eq!(who["scopes"], json!(["read:users:name!user=rook"]));
    hub.call("POST", "/hub/api/users/rook/server", raw, "")
        .await
        .is(403);
    let list = hub.call("GET", path, &token, "").await.is(200);
    assert!(!list.body.contains(raw));
    let id = made["id"].as_str().ok_or("no id")?;
    hub.call("DELETE", &format!("{path}/{id}"), &token, "")
        .await
        .is(204);
    hub.call("GET", "/hub/api/user", raw, "").await.is(403);
    hub.call("DELETE", &format!("{path}/{id}"), &token, "")
        .await
        .is(404);
    Ok(())
}
