//! The wiki replicas from outside: whose queries are seen and ended by whom, and what is said when there is no gateway.

use std::sync::Arc;

use super::harness::{TestHub, Tried};
use crate::http::HttpSettings;
use crate::login::sign_in::SignIn;
use crate::replicas::tests::gateway::{Gateway, statement};
use crate::replicas::{Reached, Replicas};
use crate::secret;
use crate::secret::seal::Seal;
use crate::store::Store;

/// A hub whose gateway answers as long as the second is kept.
async fn hub() -> Result<(TestHub, Gateway, tempfile::TempDir), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("g.sock");
    let store = Store::in_memory().await?;
    let replicas = Replicas::new(store.clone(), socket.clone(), Reached::Met(3306));
    let seal = Arc::new(Seal::from_text(&Seal::new_key())?);
    let hub = TestHub::with_parts(
        HttpSettings::default(),
        Arc::new(SignIn::local(seal)),
        store,
        Some(replicas),
    )
    .await?;
    Ok((hub, Gateway::start(&socket), directory))
}

#[tokio::test]
async fn people_see_and_end_their_own_queries_and_administrators_all() -> Tried {
    let (hub, gateway, _directory) = hub().await?;
    let admin = hub.admin("admin").await?;
    let rook = hub.user("rook").await?;
    let wren = hub.user("wren").await?;
    gateway.memory().statements = vec![
        statement("q/1", rook.id, "rook"),
        statement("q2", wren.id, "wren"),
    ];

    let mut browser = hub.signed_in(&rook).await;
    let page = browser.get("/hub/replicas").await.is(200);
    assert!(
        page.body.contains("SELECT &#39;&#60;rook&#62;&#39;"),
        "{}",
        page.body
    );
    assert!(page.body.contains("1 min 1 s") && page.body.contains("7 rows, 2 KiB"));
    assert!(!page.body.contains("wren"), "{}", page.body);
    assert!(page.body.contains("nothing new arrives"), "{}", page.body);
    assert!(page.body.contains("up to date") && page.body.contains("1 min 15 s behind"));
    let listed = browser.get("/hub/api/replicas/statements").await.is(200);
    assert_eq!(
        listed.json()["statements"].as_array().map(Vec::len),
        Some(1)
    );

    let told = browser.get("/hub/api/replicas/sections").await.is(200);
    assert_eq!(
        told.json()["sections"]["s5"],
        serde_json::json!({"up": true, "lag_seconds": 75.0, "stale": false})
    );
    assert_eq!(told.json()["sections"]["s7"]["stale"], true);

    // Not theirs, and without the proof, nothing is ended.
    browser
        .post("/hub/replicas/statements/q2/stop", &[])
        .await
        .is(303);
    browser
        .post_bare("/hub/replicas/statements/q%2F1/stop", &[])
        .await
        .is(403);
    assert!(gateway.memory().ended.is_empty());
    browser
        .post("/hub/replicas/statements/q%2F1/stop", &[])
        .await
        .is(303);
    assert_eq!(gateway.memory().ended, ["q/1"]);
    let page = browser.get("/hub/replicas").await.is(200);
    assert!(page.body.contains("Nothing runs"), "{}", page.body);

    let mut browser = hub.signed_in(&admin).await;
    let page = browser.get("/hub/replicas").await.is(200);
    assert!(page.body.contains("Running queries of all") && page.body.contains("wren"));
    Ok(())
}

#[tokio::test]
async fn the_api_ends_only_what_its_caller_may() -> Tried {
    let (hub, gateway, _directory) = hub().await?;
    let rook = hub.user("rook").await?;
    let wren = hub.user("wren").await?;
    gateway.memory().statements = vec![statement("q1", wren.id, "wren")];
    let url = "/hub/api/replicas/statements";
    let rooks = hub.token(&rook).await?;
    let wrens = hub.token(&wren).await?;
    let weak = secret::random_token();
    let scopes = ["read:users:name!user".to_owned()];
    hub.store
        .create_api_token(wren.id, &secret::hash(&weak), &scopes, "", None)
        .await?;
    let empty = hub.call("GET", url, &rooks, "").await.is(200);
    assert_eq!(empty.json()["statements"], serde_json::json!([]));
    hub.call("DELETE", &format!("{url}/q1"), &rooks, "")
        .await
        .is(404);
    hub.call("GET", url, &weak, "").await.is(403);
    hub.call("DELETE", &format!("{url}/q1"), &weak, "")
        .await
        .is(403);
    assert!(gateway.memory().ended.is_empty());
    hub.call("DELETE", &format!("{url}/q1"), &wrens, "")
        .await
        .is(204);
    hub.call("DELETE", &format!("{url}/q1"), &wrens, "")
        .await
        .is(404);
    drop(gateway);
    hub.call("GET", url, &wrens, "").await.is(503);
    Ok(())
}

#[tokio::test]
async fn a_page_without_a_gateway_says_so() -> Tried {
    let (hub, gateway, _directory) = hub().await?;
    let rook = hub.user("rook").await?;
    let mut browser = hub.signed_in(&rook).await;
    drop(gateway);
    let page = browser.get("/hub/replicas").await.is(200);
    assert!(page.body.contains("does not answer"), "{}", page.body);
    assert!(page.body.contains("href=\"/hub/replicas\">Replicas</a>"));

    let without = TestHub::new().await?;
    let rook = without.user("rook").await?;
    let mut browser = without.signed_in(&rook).await;
    let page = browser.get("/hub/replicas").await.is(200);
    assert!(
        page.body.contains("offers no wiki replicas"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("href=\"/hub/replicas\">Replicas</a>"));
    Ok(())
}
