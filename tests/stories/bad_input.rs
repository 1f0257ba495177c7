//! Whatever is wrong with a request gets the right 4xx with a sentence, and the hub goes on.

use anyhow::{Context, Result, ensure};
use holt_tests::hub::Hub;
use holt_tests::person::Person;
use holt_tests::raw::{exchange, status};
use reqwest::Method;
use serde_json::json;

/// Requests as bytes; `H` stands for a right host header.
const BYTES: &[(&str, &[u16])] = &[
    ("GET /hub/home HTTP/1.1\r\n\r\n", &[400]),
    (
        "GET /hub/home HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        &[400],
    ),
    ("GET /hub/%zz HTTP/1.1\r\nH\r\n\r\n", &[400]),
    ("GET /hub/% HTTP/1.1\r\nH\r\n\r\n", &[400]),
    ("GET /hub/../hub/home HTTP/1.1\r\nH\r\n\r\n", &[400, 404]),
    ("GET /hub/%2e%2e/x HTTP/1.1\r\nH\r\n\r\n", &[400, 404]),
    ("GET //hub//home HTTP/1.1\r\nH\r\n\r\n", &[400, 404]),
    ("GET /hub/a%00b HTTP/1.1\r\nH\r\n\r\n", &[400, 404]),
    ("GET /hub/user/%ff%fe/ HTTP/1.1\r\nH\r\n\r\n", &[400, 404]),
    (
        "GET /hub/api/users/%ff HTTP/1.1\r\nH\r\n\r\n",
        &[400, 403, 404],
    ),
    (
        "BREW /hub/home HTTP/1.1\r\nH\r\n\r\n",
        &[400, 404, 405, 501],
    ),
    ("nonsense\r\n\r\n", &[400]),
    ("GET /hub/home HTTP/9.9\r\nH\r\n\r\n", &[400, 505]),
    (
        "POST /hub/login HTTP/1.1\r\nH\r\nContent-Length: -1\r\n\r\n",
        &[400],
    ),
    (
        "POST /hub/login HTTP/1.1\r\nH\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        &[400],
    ),
    (
        "POST /hub/login HTTP/1.1\r\nH\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /hub/login HTTP/1.1\r\nH\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        &[400],
    ),
    (
        "GET /hub/home HTTP/1.1\r\nH\r\nBad Header: x\r\n\r\n",
        &[400],
    ),
    ("GET /hub/home HTTP/1.1\r\nH\r\n X: folded\r\n\r\n", &[400]),
    (
        "GET /hub/login HTTP/1.1\r\nH\r\nCookie: \u{1F9A6}=;;;==,\"\r\n\r\n",
        &[200, 400],
    ),
    (
        "GET /hub/login HTTP/1.1\r\nH\r\nCookie: jupyterhub-hub-login=\"2|1:0|x\"; jupyterhub-session-id='; DROP\r\n\r\n",
        &[200, 400],
    ),
    (
        "GET /hub/api/user HTTP/1.1\r\nH\r\nAuthorization: token \r\n\r\n",
        &[400, 403],
    ),
    (
        "GET /hub/api/user HTTP/1.1\r\nH\r\nAuthorization: \u{1F9A6}\r\n\r\n",
        &[400, 403],
    ),
    (
        "GET /hub/api/user HTTP/1.1\r\nH\r\nAuthorization: token '; DROP TABLE tokens;--\r\n\r\n",
        &[403],
    ),
    ("OPTIONS * HTTP/1.1\r\nH\r\n\r\n", &[200, 204, 400, 404]),
    (
        "GET http://evil.example/hub/home HTTP/1.1\r\nH\r\n\r\n",
        &[302, 400, 404, 421],
    ),
    (
        "CONNECT 127.0.0.1:22 HTTP/1.1\r\nH\r\n\r\n",
        &[400, 404, 405, 501],
    ),
    (
        "GET /user/nobody/api/kernels/x/channels HTTP/1.1\r\nH\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n",
        &[400, 403, 404, 424],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_get_the_right_refusal() -> Result<()> {
    let hub = Hub::start().await?;
    let mut wrong = Vec::new();
    let host = format!("Host: 127.0.0.1:{}\r\nConnection: close", hub.port());
    let long_path = format!("GET /hub/{} HTTP/1.1\r\nH\r\n\r\n", "a".repeat(20_000));
    let long_header = format!(
        "GET /hub/login HTTP/1.1\r\nH\r\nX: {}\r\n\r\n",
        "a".repeat(200_000)
    );
    let many_headers = format!(
        "GET /hub/login HTTP/1.1\r\nH\r\n{}\r\n",
        "X: a\r\n".repeat(2_000)
    );
    let odd: [(&str, &[u16]); 3] = [
        (&long_path, &[400, 404, 414, 431]),
        (&long_header, &[400, 431]),
        (&many_headers, &[400, 431]),
    ];
    for (request, expected) in BYTES.iter().chain(odd.iter()) {
        let shown: String = request.chars().take(90).collect();
        // Only a line that is `H` alone.
        let bytes = request.replacen("\r\nH\r\n", &format!("\r\n{host}\r\n"), 1);
        match exchange(hub.port(), bytes.as_bytes()).await {
            Ok(answer) if status(&answer).is_ok_and(|code| expected.contains(&code)) => {}
            // A connection that is closed without a word is no answer that a person could use, but no harm.
            other => wrong.push(format!(
                "{shown:?}: expected {expected:?}, got {:.90?}",
                other
            )),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Person::admin(&hub)
        .await
        .map(|_| ())
        .context("the hub goes on")
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_json_and_forms_get_a_sentence() -> Result<()> {
    let hub = Hub::start().await?;
    let admin = Person::admin(&hub).await?;
    admin.open("/hub/home").await?;
    let me = admin.name().to_owned();
    let activity = format!("/hub/api/users/{me}/activity");
    let server = format!("/hub/api/users/{me}/server");
    let table = [
        (
            Method::POST,
            "/hub/api/users".to_owned(),
            json!([]),
            vec![400],
        ),
        (
            Method::POST,
            "/hub/api/users".into(),
            json!({"usernames": "x"}),
            vec![400],
        ),
        (
            Method::POST,
            "/hub/api/users".into(),
            json!({"usernames": [1, null]}),
            vec![400],
        ),
        (
            Method::POST,
            "/hub/api/users".into(),
            json!({"usernames": ["a/b"]}),
            vec![400],
        ),
        (
            Method::POST,
            "/hub/api/users".into(),
            json!({"usernames": [".."]}),
            vec![400],
        ),
        (
            Method::POST,
            "/hub/api/users".into(),
            json!({"usernames": ["x".repeat(256)]}),
            vec![400],
        ),
        (
            Method::POST,
            "/hub/api/users/a%0Ab".into(),
            json!({}),
            vec![400],
        ),
        (Method::POST, activity.clone(), json!({}), vec![400, 403]),
        (
            Method::POST,
            activity.clone(),
            json!({"last_activity": "yesterday"}),
            vec![400, 403],
        ),
        (
            Method::POST,
            activity.clone(),
            json!({"last_activity": "9999-01-01T00:00:00Z"}),
            vec![400, 403],
        ),
        (
            Method::POST,
            activity,
            json!({"servers": {"nope": {"last_activity": "2020-01-01T00:00:00Z"}}}),
            vec![400, 403],
        ),
        (Method::POST, server.clone(), json!([1]), vec![400]),
        (
            Method::POST,
            server.clone(),
            json!({"user_options": 1}),
            vec![400],
        ),
        (Method::DELETE, server, json!({"remove": "yes"}), vec![400]),
        (
            Method::GET,
            "/hub/api/users/nobody".into(),
            json!(null),
            vec![404],
        ),
        (
            Method::GET,
            "/hub/api/nothing".into(),
            json!(null),
            vec![404],
        ),
        (
            Method::PUT,
            "/hub/api/user".into(),
            json!({}),
            vec![404, 405],
        ),
        (
            Method::POST,
            format!("/hub/api/users/{me}/servers/Not%20A%20Slug"),
            json!({}),
            vec![400],
        ),
        (
            Method::POST,
            "/hub/api/oauth2/token".into(),
            json!({}),
            vec![400, 401],
        ),
        (
            Method::GET,
            "/hub/api/users?limit=many".into(),
            json!(null),
            vec![400],
        ),
    ];
    let mut wrong = Vec::new();
    for (method, path, body, expected) in table {
        let body = (!body.is_null()).then_some(body);
        let answer = admin.api(method.clone(), &path, body.as_ref()).await?;
        let code = answer.status().as_u16();
        let text = answer.text().await?;
        let sentence = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|answer| {
            ["message", "error_description", "error"]
                .iter()
                .any(|key| answer[key].as_str().is_some_and(|words| !words.is_empty()))
        });
        if !expected.contains(&code) || !sentence {
            wrong.push(format!(
                "{method} {path} {body:?}: expected {expected:?}, got {code} {text}"
            ));
        }
    }
    for (path, fields, expected) in [
        (
            "/hub/login",
            vec![("username", ""), ("password", "")],
            vec![400_u16, 401, 403, 422],
        ),
        ("/hub/admin/users/999/delete", vec![], vec![404]),
        ("/hub/admin/users/-1/reset", vec![], vec![400, 404]),
        ("/hub/admin/users/x/admin", vec![], vec![400, 404]),
        ("/hub/servers", vec![("name", "No Slug")], vec![400]),
        ("/hub/stop/nobody", vec![], vec![403, 404]),
        ("/hub/spawn/nobody", vec![], vec![403, 404]),
        ("/hub/link/not-a-link", vec![], vec![400, 403, 404, 410]),
        (
            "/hub/password",
            vec![("password", "a"), ("password2", "b")],
            vec![400, 403, 422],
        ),
    ] {
        let answer = admin.post(path, &fields).await?;
        let code = answer.status().as_u16();
        let text = answer.text().await?;
        if !expected.contains(&code) || !text.contains("</html>") {
            wrong.push(format!(
                "POST {path} {fields:?}: expected {expected:?}, got {code} {text:.200}"
            ));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_its_xsrf_is_refused_with_a_page() -> Result<()> {
    let hub = Hub::start().await?;
    let admin = Person::admin(&hub).await?;
    admin.open("/hub/home").await?;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    for (path, wrong) in [
        ("/hub/spawn", ""),
        ("/hub/spawn", "_xsrf=guess"),
        ("/hub/admin/invite", ""),
        ("/hub/password", "_xsrf="),
    ] {
        let answer = client
            .post(admin.url(path)?)
            .header("Cookie", admin.cookies(path)?)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Accept", "text/html")
            .body(wrong)
            .send()
            .await?;
        ensure!(
            answer.status() == 403,
            "{path} {wrong}: {}",
            answer.status()
        );
    }
    let api = client
        .post(admin.url("/hub/api/users/x")?)
        .header("Cookie", admin.cookies("/hub/api/users/x")?)
        .header("Origin", "http://evil.example")
        .send()
        .await?;
    ensure!(api.status() == 403, "{}", api.status());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_led_away_after_signing_in() -> Result<()> {
    let hub = Hub::start().await?;
    let admin = Person::admin(&hub).await?;
    for next in [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "/%09/evil.example",
        "\t//evil.example",
        "javascript:alert(1)",
        "http:evil.example",
        "/hub/../..//evil.example",
    ] {
        let query: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let answer = admin.look(&format!("/hub/login?next={query}")).await?;
        let Some(place) = answer.headers().get("location") else {
            ensure!(
                !answer.status().is_server_error(),
                "{next}: {}",
                answer.status()
            );
            continue;
        };
        let place = admin.url(place.to_str()?)?;
        ensure!(
            place.host_str() == Some("127.0.0.1"),
            "{next:?} leads to {place}"
        );
    }
    // Nor by what a browser says the host is.
    let answer = exchange(
        hub.port(),
        b"GET /hub/home HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nConnection: close\r\n\r\n",
    )
    .await?;
    ensure!(!answer.contains("://evil.example"), "{answer}");
    Ok(())
}
