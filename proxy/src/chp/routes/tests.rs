//! What the table tells, and what requests see of it.

use serde_json::{Value, json};

use super::*;

fn routes(rules: Rules) -> Routes {
    Routes::in_memory(rules)
}

fn by_host() -> Routes {
    routes(Rules {
        by_host: true,
        lenient: false,
    })
}

fn post(routes: &Routes, key: &str, body: &str) -> Result<String, Refused> {
    routes.add(key, serde_json::from_str(body).unwrap())
}

/// The table without its moments.
fn told(routes: &Routes) -> Value {
    let mut told: Value = serde_json::from_str(&routes.all(None)).unwrap();
    for entry in told.as_object_mut().unwrap().values_mut() {
        assert!(
            entry
                .as_object_mut()
                .unwrap()
                .remove(LAST_ACTIVITY)
                .is_some()
        );
    }
    told
}

fn leads(routes: &Routes, host: &str, path: &str) -> Option<String> {
    let now = routes.live.now();
    let leaf = now.find(Some(host.as_bytes()), path.as_bytes()).unwrap()?;
    leaf.target.as_ref().map(ToString::to_string)
}

const ONE: &str = r#"{"target":"http://127.0.0.1:1"}"#;
const TWO: &str = r#"{"target":"http://127.0.0.1:2"}"#;

#[test]
fn what_was_posted_is_told_word_for_word() {
    let routes = routes(Rules::default());
    let body = r#"{"jupyterhub":true,"target":"http://127.0.0.1:1","last_activity":"never","n":1.50e3,"x":{"a":[1, 2]}}"#;
    post(&routes, "/user/é\"x", body).unwrap();
    let all = routes.all(None);
    assert!(all.starts_with(r#"{"/user/é\"x":{"jupyterhub":true,"n":1.50e3,"target":"http://127.0.0.1:1","x":{"a":[1, 2]},"last_activity":"2"#), "{all}");
    let one: Value = serde_json::from_str(&routes.one("/user/é\"x").unwrap()).unwrap();
    assert_eq!(one["x"], json!({"a": [1, 2]}));
    assert_eq!(routes.one("/user"), None);
}

#[test]
fn a_route_is_in_force_when_it_is_added_and_gone_when_removed() {
    let routes = routes(Rules::default());
    post(&routes, "/", ONE).unwrap();
    post(&routes, "/a b", TWO).unwrap();
    assert_eq!(
        leads(&routes, "x", "/a%20b/c").unwrap(),
        "http://127.0.0.1:2"
    );
    assert_eq!(leads(&routes, "x", "/c").unwrap(), "http://127.0.0.1:1");
    assert!(routes.remove("/a b"));
    assert!(!routes.remove("/a b"));
    assert_eq!(
        leads(&routes, "x", "/a%20b/c").unwrap(),
        "http://127.0.0.1:1"
    );
}

#[test]
fn a_percent_in_a_key_is_a_percent() {
    let routes = routes(Rules::default());
    post(&routes, "/100%25", ONE).unwrap();
    assert!(leads(&routes, "x", "/100%2525").is_some());
    assert!(leads(&routes, "x", "/100%25").is_none());
}

#[test]
fn another_spelling_of_a_place_takes_it_over() {
    let routes = routes(Rules::default());
    post(&routes, "/x", ONE).unwrap();
    post(&routes, "//x", TWO).unwrap();
    assert_eq!(
        told(&routes),
        json!({"//x": {"target": "http://127.0.0.1:2"}})
    );
    assert!(!routes.remove("/x"));
    assert!(leads(&routes, "h", "/x").is_some());
    assert!(routes.remove("//x"));
    assert!(leads(&routes, "h", "/x").is_none());
}

#[test]
fn a_route_of_a_host_is_that_hosts_alone() {
    let routes = by_host();
    post(&routes, "/", ONE).unwrap();
    post(&routes, "/Alice.Example/user/alice", TWO).unwrap();
    assert_eq!(
        told(&routes),
        json!({
            "/": {"target": "http://127.0.0.1:1"},
            "/Alice.Example/user/alice": {"target": "http://127.0.0.1:2", "host": "Alice.Example"},
        })
    );
    let to = |host: &str| leads(&routes, host, "/user/alice/x").unwrap();
    assert_eq!(to("alice.example:8000"), "http://127.0.0.1:2");
    assert_eq!(to("alice.example.evil"), "http://127.0.0.1:1");
}

#[test]
fn a_route_of_all_hosts_can_be_asked_for() {
    let routes = by_host();
    let body = r#"{"target":"http://127.0.0.1:2","host":"*"}"#;
    post(&routes, "/services/x", body).unwrap();
    assert!(leads(&routes, "any.example", "/services/x/y").is_some());
    post(&routes, "/services/x", TWO).unwrap();
    assert!(leads(&routes, "any.example", "/services/x/y").is_none());
    assert!(leads(&routes, "services", "/x/y").is_some());
}

#[test]
fn what_is_no_target_is_refused_unless_leniently_taken() {
    for body in [r#"{"target":"not a url"}"#, r#"{"target":"ftp://x"}"#] {
        let strict = routes(Rules::default());
        assert!(matches!(post(&strict, "/x", body), Err(Refused::Target(_))));
        assert_eq!(told(&strict), json!({}));
        let lenient = routes(Rules {
            by_host: false,
            lenient: true,
        });
        post(&lenient, "/x", body).unwrap();
        assert!(leads(&lenient, "h", "/x").is_some());
        assert_eq!(
            told(&lenient)["/x"],
            serde_json::from_str::<Value>(body).unwrap()
        );
    }
    for body in ["{}", r#"{"target":null}"#, r#"{"target":["x"]}"#] {
        let strict = routes(Rules::default());
        assert!(matches!(post(&strict, "/x", body), Err(Refused::NoTarget)));
    }
}

#[test]
fn a_connection_that_outlives_a_new_post_still_counts_as_use() {
    let routes = routes(Rules::default());
    post(&routes, "/x", ONE).unwrap();
    let leaf = |routes: &Routes| {
        let now = routes.live.now();
        Arc::clone(now.find(None, b"/x").unwrap().unwrap())
    };
    let old = leaf(&routes);
    post(&routes, "/x", ONE).unwrap();
    assert!(Arc::ptr_eq(&old, &leaf(&routes)));
    post(&routes, "/x", TWO).unwrap();
    assert!(Arc::ptr_eq(&old.last_use, &leaf(&routes).last_use));
}

#[test]
fn only_routes_unused_since_a_moment_are_told() {
    let routes = routes(Rules::default());
    post(&routes, "/x", ONE).unwrap();
    let used = routes
        .live
        .now()
        .find(None, b"/x")
        .unwrap()
        .unwrap()
        .last_use
        .get();
    let used = i64::try_from(used.unwrap()).unwrap();
    assert_eq!(routes.all(Some(used)), "{}");
    assert_ne!(routes.all(Some(used + 1)), "{}");
}

#[test]
fn a_kept_route_keeps_its_last_use() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("routes.json");
    let kept =
        r#"{"/x":{"target":"http://127.0.0.1:1","last_activity":"2024-01-02T03:04:05.006Z"}}"#;
    std::fs::write(&file, kept).unwrap();
    let routes = Routes::in_file(Rules::default(), &file).unwrap();
    assert_eq!(routes.all(None), kept);
}

#[tokio::test]
async fn routes_in_a_file_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("routes.json");
    let open = || Arc::new(Routes::in_file(Rules::default(), &file).unwrap());
    let routes = open();
    post(&routes, "/a b", ONE).unwrap();
    post(&routes, "/x", TWO).unwrap();
    routes.kept().await.unwrap();
    let before = routes.all(None);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    assert_eq!(open().all(None), before);
    assert!(routes.remove("/x"));
    routes.kept().await.unwrap();
    assert_eq!(open().one("/x"), None);
    assert!(leads(&open(), "h", "/a%20b").is_some());
}
