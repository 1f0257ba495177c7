//! Signing in with a password, the proof of forms, and signing out.

use axum::body::Body;
use axum::http::{Request, header};

use super::harness::{PASSWORD, TestHub, Tried};
use crate::secret;

#[tokio::test]
async fn a_right_password_begins_a_session_with_new_cookies() -> Tried {
    let hub = TestHub::new().await?;
    hub.user("rook").await?;
    let mut browser = hub.browser();
    let page = browser.get("/hub/login").await.is(200);
    for id in ["username_input", "password_input", "login_submit"] {
        assert!(page.body.contains(&format!("id=\"{id}\"")), "{id}");
    }
    let before = browser.cookies.clone();
    // Somebody plants a session and hopes that it becomes the victim's.
    browser
        .cookies
        .insert("jupyterhub-hub-login".into(), "planted".into());
    let answer = browser
        .post(
            "/hub/login",
            &[("username", "rook"), ("password", PASSWORD)],
        )
        .await
        .is(303);
    assert_eq!(answer.location(), "/hub/spawn");
    for name in ["jupyterhub-hub-login", "jupyterhub-session-id", "_xsrf"] {
        assert_ne!(before.get(name), browser.cookies.get(name), "{name}");
    }
    assert_ne!(browser.cookies["jupyterhub-hub-login"], "planted");
    let cookies: Vec<&str> = answer
        .headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .collect();
    assert!(
        cookies[0].ends_with("; Path=/hub/; SameSite=Lax; HttpOnly; Secure; Max-Age=1209600"),
        "{}",
        cookies[0]
    );
    assert!(
        cookies[1].ends_with("; Path=/; SameSite=Lax; HttpOnly; Secure"),
        "{}",
        cookies[1]
    );
    assert!(
        cookies[2].ends_with("; Path=/hub/; SameSite=Lax; Secure"),
        "{}",
        cookies[2]
    );
    browser.get("/hub/home").await.is(200);
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_get_the_same_words() -> Tried {
    let hub = TestHub::new().await?;
    hub.user("rook").await?;
    let mut browser = hub.browser();
    browser.get("/hub/login").await;
    for name in ["rook", "nobody", "a/b", ""] {
        let answer = browser
            .post("/hub/login", &[("username", name), ("password", "wrong")])
            .await
            .is(403);
        assert!(
            answer.body.contains("Invalid username or password"),
            "{name}"
        );
    }
    let answer = browser.get("/hub/home").await.is(303);
    assert_eq!(answer.location(), "/hub/login?next=/hub/home");
    Ok(())
}

#[tokio::test]
async fn a_form_without_the_right_proof_is_refused() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let mut browser = hub.browser();
    let right = [("username", "rook"), ("password", PASSWORD)];
    browser.post("/hub/login", &right).await.is(403);
    browser.get("/hub/login").await;
    browser.post_bare("/hub/login", &right).await.is(403);

    let mut signed = hub.signed_in(&user).await;
    hub.server(&user, "").await?;
    let other = hub.browser().get("/hub/login").await;
    assert!(!other.body.contains(&signed.cookies["_xsrf"]));
    for path in [
        "/hub/stop/rook",
        "/hub/spawn",
        "/hub/servers",
        "/hub/password",
        "/hub/welcome",
        "/hub/admin/invite",
    ] {
        let answer = signed.post_bare(path, &[("name", "x")]).await.is(403);
        assert!(answer.body.contains("_xsrf"), "{path}");
        signed.post_bare(path, &[("_xsrf", "wrong")]).await.is(403);
    }
    signed.post("/hub/stop/rook", &[]).await.is(303);
    Ok(())
}

#[tokio::test]
async fn one_comes_back_to_where_one_wanted_to_go_and_nowhere_else() -> Tried {
    let hub = TestHub::new().await?;
    hub.user("rook").await?;
    for (next, to) in [
        (
            "/user/rook/lab/tree/a%20b.ipynb?x=1&y=2",
            "/user/rook/lab/tree/a%20b.ipynb?x=1&y=2",
        ),
        ("https://hub.example/hub/home", "/hub/home"),
        ("https://evil.example/", "/hub/spawn"),
        ("//evil.example/", "/hub/spawn"),
        ("/\\evil.example", "/hub/spawn"),
    ] {
        let mut browser = hub.browser();
        let path = format!("/hub/login?{}", super::harness::form(&[("next", next)]));
        browser.get(&path).await.is(200);
        let answer = browser
            .post(&path, &[("username", "rook"), ("password", PASSWORD)])
            .await
            .is(303);
        assert_eq!(answer.location(), to, "{next}");
    }
    Ok(())
}

#[tokio::test]
async fn signing_out_ends_the_session_and_what_came_of_it() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let mut browser = hub.signed_in(&user).await;
    let old = browser.cookies.clone();
    browser.get("/hub/logout").await.is(200);
    assert!(browser.cookies.is_empty());
    let mut thief = hub.browser();
    thief.cookies = old.clone();
    thief.get("/hub/home").await.is(303);
    let forgotten = hub.forgotten.0.lock().expect("not poisoned").clone();
    assert_eq!(
        forgotten[0].0,
        [secret::hash(&old["jupyterhub-session-id"])]
    );
    Ok(())
}

#[tokio::test]
async fn a_cookie_that_comes_twice_is_none() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let browser = hub.signed_in(&user).await;
    let good = &browser.cookies["jupyterhub-hub-login"];
    let request = Request::get("/hub/home").header(
        header::COOKIE,
        format!("jupyterhub-hub-login=planted; jupyterhub-hub-login={good}"),
    );
    hub.send(request.body(Body::empty())?).await.is(303);
    Ok(())
}

#[tokio::test]
async fn a_notebooks_script_reads_no_page_in_the_persons_name() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.admin("rook").await?;
    let mut browser = hub.signed_in(&user).await;
    for (mode, dest) in [
        ("cors", "empty"),
        ("same-origin", "empty"),
        ("navigate", "iframe"),
    ] {
        for path in ["/hub/admin", "/hub/home", "/hub/api/users", "/hub/spawn"] {
            let request = Request::get(path)
                .header("sec-fetch-mode", mode)
                .header("sec-fetch-dest", dest);
            browser.send(request.body(Body::empty())?).await.is(403);
        }
    }
    let xsrf = browser.cookies["_xsrf"].clone();
    let request = Request::get("/hub/api/users")
        .header("sec-fetch-mode", "cors")
        .header("x-xsrftoken", xsrf);
    browser.send(request.body(Body::empty())?).await.is(200);
    Ok(())
}

#[tokio::test]
async fn a_servers_side_has_no_cookies() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let mut browser = hub.signed_in(&user).await;
    let request = Request::get("/hub/api/user").header("x-holt-listener", "internal");
    browser.send(request.body(Body::empty())?).await.is(403);
    let request = Request::get("/hub/api/user").header("x-holt-listener", "public");
    browser.send(request.body(Body::empty())?).await.is(200);
    Ok(())
}

#[tokio::test]
async fn a_new_password_ends_every_other_session() -> Tried {
    let hub = TestHub::new().await?;
    let user = hub.user("rook").await?;
    let mut one = hub.signed_in(&user).await;
    let mut two = hub.signed_in(&user).await;
    let fields = [
        ("password", "another password"),
        ("password2", "another password"),
    ];
    one.post("/hub/password", &fields).await.is(400);
    let fields = [
        ("current", PASSWORD),
        ("password", "another password"),
        ("password2", "another passw"),
    ];
    one.post("/hub/password", &fields).await.is(400);
    let fields = [
        ("current", PASSWORD),
        ("password", "short"),
        ("password2", "short"),
    ];
    one.post("/hub/password", &fields).await.is(400);
    two.get("/hub/home").await.is(200);
    let fields = [
        ("current", PASSWORD),
        ("password", "another password"),
        ("password2", "another password"),
    ];
    one.post("/hub/password", &fields).await.is(200);
    one.get("/hub/home").await.is(200);
    two.get("/hub/home").await.is(303);
    Ok(())
}
