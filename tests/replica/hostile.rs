//! Clients that do not keep to the protocol, or try what is refused. After each, the gateway serves others as before.

use crate::raw::{CAPABILITIES, Raw, hello};
use crate::world::World;

#[test]
fn tricks_in_sql_are_refused_with_words() {
    let world = World::usual();
    let mut client = world.client("a", "enwiki_p");
    for statement in [
        "SET SESSION TRANSACTION READ WRITE",
        "SET STATEMENT max_statement_time=0 FOR SELECT 1",
        "EXECUTE IMMEDIATE 'select 1'",
        "PREPARE x FROM 'select 1'",
        "select 1; select 2",
        "/*!50000 delete from page */",
        "select 1 /*!50000 into outfile '/tmp/holt' */",
        "select 1 into outfile '/tmp/holt'",
        "load data local infile '/etc/passwd' into table page",
        "delete from page",
        "create table x (a int)",
        "select * from page for update",
        "set names sjis",
        "grant all on *.* to x",
        "begin not atomic select 1; end",
    ] {
        let refused = client.ask(statement).unwrap_err();
        assert!(refused.words.len() > 20, "{statement}: {refused:?}");
        assert_eq!(client.value("select 1"), "1", "{statement}");
    }
    assert_eq!(client.value("select count(*) from page"), "1000");
    // Several statements at once are not offered, nor is the client's disk.
    let greeted = Raw::greet(world.address);
    assert_eq!(greeted.capabilities & (0x80 | 0x1_0000), 0);
    client.send(0, &[0x1B, 0, 0]);
    assert_eq!(client.word().unwrap_err().code, 1235);
}

#[test]
fn packets_that_make_no_sense_end_the_connection_and_nothing_else() {
    let world = World::usual();
    let address = world.address;
    let long = vec![b'a'; 70_000];
    let greetings: &[&dyn Fn(&mut Raw)] = &[
        &|raw| raw.send_bytes(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
        &|raw| raw.send_bytes(&[0xFF; 64]),
        &|raw| raw.send_bytes(&[0; 64]),
        &|raw| raw.send(1, &[]),
        &|raw| raw.send(1, &[0; 3]),
        &|raw| raw.send(0, &hello("ha", &[1; 20], "")),
        &|raw| raw.send(7, &hello("ha", &[1; 20], "")),
        &|raw| raw.send(1, &long),
        &|raw| raw.send(1, &hello("ha", &[1; 20], "")[..40]),
        &|raw| {
            let mut old = hello("ha", &[1; 20], "");
            old[1] = 0;
            raw.send(1, &old);
        },
        // TLS is asked for, and something is said at once that is not.
        &|raw| {
            let mut request = (CAPABILITIES | 0x800).to_le_bytes().to_vec();
            request.extend_from_slice(&[0; 28]);
            raw.send(1, &request);
            raw.send(2, &hello("ha", &[1; 20], ""));
        },
    ];
    for (at, say) in greetings.iter().enumerate() {
        let mut raw = Raw::greet(address);
        say(&mut raw);
        let _ = raw.stream.shutdown(std::net::Shutdown::Write);
        while let Some((_, payload)) = raw.packet() {
            assert!(matches!(payload[0], 0xFF | 0xFE), "{at}: {payload:?}");
        }
    }
    let commands: &[&dyn Fn(&mut Raw)] = &[
        &|raw| raw.send(3, b"\x03select 1"),
        &|raw| raw.send_bytes(&[10, 0, 0, 0, 3]),
        &|raw| raw.send_bytes(&[0xFF, 0xFF, 0xFF, 0, 3]),
    ];
    for say in commands {
        let mut raw = world.client("a", "enwiki_p");
        say(&mut raw);
        let _ = raw.stream.shutdown(std::net::Shutdown::Write);
        while let Some((_, payload)) = raw.packet() {
            assert_eq!(payload[0], 0xFF);
        }
    }
    assert_eq!(world.client("b", "enwiki_p").value("select 1"), "1");
}

#[test]
fn commands_that_are_not_taken_are_answered_with_an_error() {
    let world = World::usual();
    let mut client = world.client("a", "enwiki_p");
    for command in [
        &b"\x00"[..],
        b"\x05x",
        b"\x06x",
        b"\x07\x01",
        b"\x08",
        b"\x0a",
        b"\x0b",
        b"\x0c\x01\0\0\0",
        b"\x0d",
        b"\x0f",
        b"\x10",
        b"\x12\0\0\0\0\0\0\0\0\0\0",
        b"\x13",
        b"\x15",
        b"\x1d",
        b"\x1e",
        b"\xfa",
        b"\xfe",
        b"\xff",
        b"",
        b"\x17",
        b"\x17\x01\0\0\0\0\x01\0\0\0",
        b"\x1a\x09\0\0\0",
        b"\x1c\x09\0\0\0\x01\0\0\0",
        b"\x1b\0\0",
    ] {
        client.send(0, command);
        let refused = client.word().unwrap_err();
        assert!(refused.code > 0, "{command:?}");
    }
    // These have no answer; what follows them has.
    client.send(0, b"\x19\x09\0\0\0");
    client.send(0, b"\x18\x09\0\0\0\0\0data");
    client.send(0, b"\x0e");
    client.word().unwrap();
    assert_eq!(client.value("select 1"), "1");
}

#[test]
fn a_handshake_that_was_listened_to_opens_nothing() {
    let world = World::usual();
    let mut raw = Raw::greet(world.address);
    let proof = raw.proof("pa");
    let said = hello("ha", &proof, "");
    raw.send(1, &said);
    raw.word().unwrap();
    let mut again = Raw::greet(world.address);
    assert_ne!(again.nonce, raw.nonce);
    again.send(1, &said);
    assert_eq!(again.word().unwrap_err().code, 1045);
}

#[test]
fn who_says_nothing_is_not_waited_for_for_ever() {
    let world = World::usual();
    let mut silent = Raw::greet(world.address);
    assert_eq!(silent.packet(), None);
}
