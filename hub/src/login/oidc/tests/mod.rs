//! Sign-ins against servers that speak the real protocol: one like Keycloak, found by discovery, and one like GitHub, by its endpoints.

mod server;

use std::time::Duration;

use proptest::prelude::*;
use url::Url;

use super::{Oidc, OidcSettings};
use crate::login::provider::{CameBack, LoginError, Person, Provider};
use crate::secret;

use self::server::{Mood, Server, field, new_key};

const CALLBACK: &str = "https://hub.example/hub/oauth_callback";

fn settings() -> OidcSettings {
    OidcSettings {
        issuer: None,
        authorize_url: None,
        token_url: None,
        userinfo_url: None,
        client_id: "hub".into(),
        client_secret: Some("s".into()),
        scopes: Vec::new(),
        claim_id: "sub".into(),
        claim_name: "preferred_username".into(),
        claim_groups: Some("realm_access.roles".into()),
        admin_groups: vec!["admins".into()],
        claim_admin: None,
        issuer_name: None,
        user_agent: "Holt/1 (tests)".into(),
        connect_to: None,
        leeway: Duration::from_secs(30),
    }
}

fn keycloak(server: &Server) -> Oidc {
    Oidc::new(OidcSettings {
        issuer: Url::parse(&format!("{}/realms/x", server.base)).ok(),
        ..settings()
    })
    .unwrap()
}

fn github(server: &Server) -> Oidc {
    let at = |path: &str| Url::parse(&format!("{}{path}", server.base)).ok();
    Oidc::new(OidcSettings {
        authorize_url: at("/login/oauth/authorize"),
        token_url: at("/login/oauth/access_token"),
        userinfo_url: at("/user"),
        claim_id: "id".into(),
        claim_name: "login".into(),
        claim_groups: None,
        admin_groups: Vec::new(),
        ..settings()
    })
    .unwrap()
}

/// A whole sign-in, with the query that `change` makes of the right one.
async fn sign_in(
    server: &Server,
    oidc: &Oidc,
    change: impl FnOnce(&mut Vec<(String, String)>),
) -> Result<Person, LoginError> {
    let begun = oidc.begin(CALLBACK).await?;
    let went: Vec<(String, String)> = Url::parse(&begun.go_to)
        .unwrap()
        .query_pairs()
        .into_owned()
        .collect();
    assert_eq!(field(&went, "response_type"), "code");
    assert_eq!(field(&went, "redirect_uri"), CALLBACK);
    assert_eq!(field(&went, "code_challenge_method"), "S256");
    assert_eq!(field(&went, "state"), begun.handle);
    *Server::lock(&server.nonce) = field(&went, "nonce").to_owned();
    *Server::lock(&server.challenge) = field(&went, "code_challenge").to_owned();
    let mut query = vec![
        ("state".to_owned(), begun.handle.clone()),
        ("code".to_owned(), "c".to_owned()),
    ];
    change(&mut query);
    oidc.finish(CALLBACK, &begun.kept, &query).await
}

#[tokio::test]
async fn a_keycloak_says_who_it_is_with_nested_groups() {
    let server = Server::start().await;
    let oidc = keycloak(&server);
    for mood in [Mood::Well, Mood::NameInUserinfo] {
        *Server::lock(&server.mood) = mood;
        let person = sign_in(&server, &oidc, |_| {}).await.unwrap();
        assert_eq!(person.issuer, format!("{}/realms/x", server.base));
        assert_eq!(
            (person.sub.as_str(), person.name.as_str()),
            ("f:1234", "rook")
        );
        assert_eq!(person.groups, ["admins", "readers"]);
        assert!(person.admin);
        assert_eq!(person.auth_state["refresh_token"], "rt");
    }
    assert_eq!(*Server::lock(&server.looks), 1, "keys are kept");
}

#[tokio::test]
async fn every_check_of_a_token_is_made() {
    let server = Server::start().await;
    let oidc = keycloak(&server);
    sign_in(&server, &oidc, |_| {}).await.unwrap();
    let unproven = [
        Mood::WrongNonce,
        Mood::WrongAudience,
        Mood::SecondAudience,
        Mood::ForeignParty,
        Mood::WrongIssuer,
        Mood::Expired,
        Mood::Unsigned,
        Mood::SignedWithThePublicKey,
        Mood::WrongKey,
        Mood::UnknownKey,
        Mood::WrongHash,
        Mood::ForeignUserinfo,
    ];
    for mood in unproven {
        *Server::lock(&server.mood) = mood;
        let error = sign_in(&server, &oidc, |_| {})
            .await
            .expect_err("it is forged");
        assert!(
            matches!(error, LoginError::Unproven(_)),
            "{mood:?}: {error:?}"
        );
    }
    *Server::lock(&server.mood) = Mood::FromTheFuture;
    let error = sign_in(&server, &oidc, |_| {})
        .await
        .expect_err("a clock is wrong");
    assert!(
        matches!(error, LoginError::Clock(ahead) if ahead < -300),
        "{error:?}"
    );
    *Server::lock(&server.mood) = Mood::NoName;
    let error = sign_in(&server, &oidc, |_| {}).await.expect_err("no name");
    assert!(matches!(error, LoginError::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn new_keys_are_found_and_unknown_ones_cause_no_storm() {
    let server = Server::start().await;
    let oidc = keycloak(&server);
    sign_in(&server, &oidc, |_| {}).await.unwrap();
    *Server::lock(&server.key) = ("second".to_owned(), new_key());
    sign_in(&server, &oidc, |_| {}).await.unwrap();
    assert_eq!(*Server::lock(&server.looks), 2);
    *Server::lock(&server.mood) = Mood::UnknownKey;
    for _ in 0..5 {
        sign_in(&server, &oidc, |_| {})
            .await
            .expect_err("nobody has that key");
    }
    assert!(
        *Server::lock(&server.looks) <= 3,
        "{}",
        *Server::lock(&server.looks)
    );
}

#[tokio::test]
async fn troubles_are_told_apart() {
    let server = Server::start().await;
    type Kind = fn(&LoginError) -> bool;
    let cases: [(Mood, Kind); 6] = [
        (Mood::TokenEndpointFails, |e| {
            matches!(e, LoginError::Away { .. })
        }),
        (Mood::TokenEndpointIsAPage, |e| {
            matches!(e, LoginError::Away { .. })
        }),
        (
            Mood::TokenEndpointIsBusy,
            |e| matches!(e, LoginError::Away { retry_after: Some(wait), .. } if wait.as_secs() == 9),
        ),
        (Mood::TokenEndpointRedirects, |e| {
            matches!(e, LoginError::Operator { .. })
        }),
        (Mood::BadClient, |e| {
            matches!(e, LoginError::Operator { .. })
        }),
        (Mood::UsedCode, |e| *e == LoginError::Over),
    ];
    for (mood, is_right) in cases {
        *Server::lock(&server.mood) = mood;
        // Another each time: one that heard of too many requests is silent for a while.
        let oidc = keycloak(&server);
        let error = sign_in(&server, &oidc, |_| {})
            .await
            .expect_err("it does not answer well");
        assert!(is_right(&error), "{mood:?}: {error:?}");
    }
    *Server::lock(&server.mood) = Mood::Well;
    let oidc = keycloak(&server);
    let error = sign_in(&server, &oidc, |query| query[0].1 = secret::random_token())
        .await
        .expect_err("another sign-in's state");
    assert_eq!(error, LoginError::Forged);
    let error = sign_in(&server, &oidc, |query| {
        query.push(("iss".to_owned(), "https://evil.example".to_owned()));
    })
    .await
    .expect_err("another provider's answer (RFC 9207)");
    assert_eq!(error, LoginError::Forged);
    let away = Oidc::new(OidcSettings {
        issuer: Url::parse("http://127.0.0.1:9/").ok(),
        ..settings()
    })
    .unwrap();
    assert!(matches!(
        away.begin(CALLBACK).await,
        Err(LoginError::Away { .. })
    ));
}

#[tokio::test]
async fn a_github_is_spoken_to_by_its_endpoints() {
    let server = Server::start().await;
    let oidc = github(&server);
    let person = sign_in(&server, &oidc, |_| {}).await.unwrap();
    assert_eq!(
        (person.sub.as_str(), person.name.as_str()),
        ("583231", "octocat")
    );
    assert_eq!(
        (person.issuer.as_str(), person.admin),
        (server.base.as_str(), false)
    );
    *Server::lock(&server.mood) = Mood::UsedCode;
    let error = sign_in(&server, &oidc, |_| {}).await.expect_err("used");
    assert_eq!(error, LoginError::Over);
    *Server::lock(&server.mood) = Mood::BadClient;
    let error = sign_in(&server, &oidc, |_| {})
        .await
        .expect_err("bad client");
    assert!(matches!(error, LoginError::Operator { .. }), "{error:?}");
    *Server::lock(&server.mood) = Mood::NoName;
    let error = sign_in(&server, &oidc, |_| {}).await.expect_err("no name");
    assert!(matches!(error, LoginError::Refused(_)), "{error:?}");
}

#[test]
fn a_denial_comes_back_with_and_without_a_state() {
    let oidc = Oidc::new(OidcSettings {
        issuer: Url::parse("https://id.example").ok(),
        ..settings()
    })
    .unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let denied = |handle: Option<&str>| CameBack::Denied {
        handle: handle.map(str::to_owned),
        error: "access_denied".to_owned(),
    };
    let error = pair("error", "access_denied");
    assert_eq!(oidc.came_back(std::slice::from_ref(&error)), denied(None));
    assert_eq!(
        oidc.came_back(&[error, pair("state", "s")]),
        denied(Some("s"))
    );
    assert_eq!(oidc.came_back(&[pair("code", "c")]), CameBack::Nothing);
    assert_eq!(oidc.came_back(&[]), CameBack::Nothing);
}

proptest! {
    #[test]
    fn no_query_panics(query in prop::collection::vec((".{0,12}", ".{0,40}"), 0..6)) {
        let oidc = Oidc::new(OidcSettings {
            issuer: Url::parse("https://id.example").ok(),
            ..settings()
        })
        .unwrap();
        let _ = oidc.came_back(&query);
    }
}
