//! What an operator says to a running gateway on the command line.

use crate::database::Database;
use crate::world::World;

#[test]
fn an_operator_empties_a_server_and_reads_how_all_are() {
    let world = World::usual();
    let second = format!("127.0.0.1:{}", Database::second().port);
    let (well, text) = world.operate(&["status"]);
    assert!(well, "{text}");
    let line = |text: &str| {
        let line = text.lines().find(|line| line.contains(&second));
        line.unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    assert!(line(&text).starts_with("s2  "), "{text}");
    assert!(line(&text).contains("  up  "), "{text}");

    let (well, text) = world.operate(&["drain", &second]);
    assert!(well, "{text}");
    assert!(line(&text).contains("  draining  "), "{text}");
    let refused = world
        .client("a", "enwiki_p")
        .ask("use dewiki_p")
        .unwrap_err();
    assert!(refused.words.contains("s2"), "{refused:?}");
    let (_, text) = world.operate(&["undrain", &second]);
    assert!(line(&text).contains("  up  "), "{text}");
    let mut client = world.client("a", "dewiki_p");
    assert_eq!(client.value("select 1"), "1");

    let (_, text) = world.operate(&["usage"]);
    assert!(
        text.lines().any(|line| line.starts_with("1  s2  1  ")),
        "{text}"
    );

    let (well, text) = world.operate(&["drain", "127.0.0.1:1"]);
    assert!(!well);
    assert!(text.contains(&second), "{text}");
}

#[test]
fn an_operator_hears_that_no_gateway_runs() {
    let mut world = World::usual();
    world.process.kill().unwrap();
    world.process.wait().unwrap();
    let (well, text) = world.operate(&["status"]);
    assert!(!well);
    assert!(text.contains("holt up"), "{text}");
}

#[test]
fn a_second_gateway_says_that_there_is_one() {
    let world = World::usual();
    let (well, text) = world.operate(&[]);
    assert!(!well);
    assert!(text.contains("another replica gateway"), "{text}");
}
