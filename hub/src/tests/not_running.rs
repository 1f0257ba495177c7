//! What was meant for a server that is not there.

use axum::body::Body;
use axum::http::{Request, header};

use super::harness::{TestHub, Tried};
use crate::servers::ServerState;

#[tokio::test]
async fn programs_get_424_with_the_way_to_start_it() -> Tried {
    let hub = TestHub::new().await?;
    hub.user("a b").await?;
    for (method, path, headers) in [
        ("GET", "/user/a%20b/api/kernels", vec![]),
        ("POST", "/user/a%20b/api/kernels", vec![]),
        ("DELETE", "/user/a%20b/files/x", vec![]),
        (
            "GET",
            "/user/a%20b/lab",
            vec![("accept", "application/json")],
        ),
        (
            "GET",
            "/user/a%20b/terminals/websocket/1",
            vec![("upgrade", "websocket"), ("connection", "upgrade")],
        ),
        ("POST", "/hub/user/a%20b/api/kernels", vec![]),
    ] {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = hub.send(request.body(Body::empty())?).await.is(424);
        assert_eq!(
            answer.json()["message"],
            "a b's server is not running. Start it at https://hub.example/hub/spawn/a%20b"
        );
    }
    // A name nobody has gets the same.
    hub.send(Request::get("/user/nobody/api").body(Body::empty())?)
        .await
        .is(424);
    Ok(())
}

#[tokio::test]
async fn people_get_a_page_that_starts_it_and_leads_back() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let mut browser = hub.signed_in(&user).await;
    // A link without the hub's prefix is led to it.
    let answer = browser.get("/user-redirect/git-pull?repo=x").await.is(303);
    assert_eq!(answer.location(), "/hub/user-redirect/git-pull?repo=x");
    let answer = browser.get("/user/rook/lab/tree/a%20b?x=1").await.is(303);
    assert_eq!(answer.location(), "/hub/user/rook/lab/tree/a%20b?x=1");
    let page = browser
        .get("/hub/user/rook/lab/tree/a%20b?x=1")
        .await
        .is(424);
    assert!(page.body.contains(r#"id="start""#));
    assert!(
        page.body
            .contains("/hub/spawn/rook?next=/user/rook/lab/tree/a%2520b%3Fx%3D1"),
        "{}",
        page.body
    );
    let answer = browser
        .get("/hub/spawn/rook?next=/user/rook/lab/tree/a%2520b%3Fx%3D1")
        .await
        .is(303);
    assert_eq!(
        answer.location(),
        "/hub/spawn-pending/rook?next=/user/rook/lab/tree/a%2520b%3Fx%3D1"
    );
    let page = browser.get(answer.location()).await.is(200);
    assert!(
        page.body
            .contains("data-to=\"/user/rook/lab/tree/a%20b?x=1\""),
        "{}",
        page.body
    );
    // On its way: the page that waits.
    let answer = browser.get("/hub/user/rook/lab").await.is(303);
    assert_eq!(
        answer.location(),
        "/hub/spawn-pending/rook?next=/user/rook/lab"
    );
    hub.servers.put(&user, "", ServerState::Ready).await;
    let answer = browser
        .get("/hub/spawn-pending/rook?next=/user/rook/lab/tree/a%2520b%3Fx%3D1")
        .await
        .is(303);
    assert_eq!(answer.location(), "/user/rook/lab/tree/a%20b?x=1");
    Ok(())
}

#[tokio::test]
async fn strangers_servers_do_not_exist() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let stranger = hub.user("pawn").await?;
    hub.server(&user, "").await?;
    let mut browser = hub.signed_in(&stranger).await;
    let there = browser.get("/hub/user/rook/lab").await.is(404).body;
    let gone = browser.get("/hub/user/nobody/lab").await.is(404).body;
    let strip = |page: String| page.split("<code>").next().map(str::to_owned);
    assert_eq!(strip(there), strip(gone));
    for path in ["/hub/spawn/rook", "/hub/spawn-pending/rook"] {
        browser.get(path).await.is(404);
    }
    browser.post("/hub/stop/rook", &[]).await.is(404);
    assert_eq!(hub.servers.state(&user, ""), Some(ServerState::Ready));
    let mut nobody = hub.browser();
    let answer = nobody.get("/hub/user/rook/lab").await.is(303);
    assert_eq!(answer.location(), "/hub/login?next=/hub/user/rook/lab");
    let request = Request::get("/hub/user/rook/api/x").header(header::ACCEPT, "application/json");
    nobody.send(request.body(Body::empty())?).await.is(403);
    Ok(())
}

#[tokio::test]
async fn a_ready_server_without_its_route_is_tried_again_a_few_times() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    hub.server(&user, "").await?;
    let mut browser = hub.signed_in(&user).await;
    let answer = browser.get("/hub/user/rook/lab?x=1").await.is(303);
    assert_eq!(answer.location(), "/user/rook/lab?x=1&redirects=1");
    browser.get("/hub/user/rook/lab?redirects=4").await.is(500);
    Ok(())
}

#[tokio::test]
async fn a_named_server_wins_over_a_path_of_the_default_one() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    hub.servers.put(&user, "lab", ServerState::Stopped).await;
    let mut browser = hub.signed_in(&user).await;
    let page = browser.get("/hub/user/rook/lab/x").await.is(424);
    assert!(page.body.contains("/hub/spawn/rook/lab?next="));
    let page = browser.get("/hub/user/rook/tree/x").await.is(424);
    assert!(page.body.contains("/hub/spawn/rook?next="));
    Ok(())
}

#[tokio::test]
async fn a_shared_link_leads_everybody_to_their_own_server() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("Ünï").await?;
    let mut browser = hub.signed_in(&user).await;
    let answer = browser
        .get("/hub/user-redirect/git-pull?repo=https%3A%2F%2Fx&branch=main")
        .await
        .is(303);
    assert_eq!(
        answer.location(),
        "/hub/spawn/%C3%9Cn%C3%AF?next=/user/%25C3%259Cn%25C3%25AF/git-pull%3Frepo%3Dhttps%253A%252F%252Fx%26branch%3Dmain"
    );
    let mut nobody = hub.browser();
    let answer = nobody.get("/hub/user-redirect/lab").await.is(303);
    assert_eq!(answer.location(), "/hub/login?next=/hub/user-redirect/lab");
    Ok(())
}
