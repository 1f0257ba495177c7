//! Clients that do not keep to the protocol, or try what is refused. After each, the gateway serves others as before.

use crate::database::Database;
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
        "show grants",
        "SHOW /* */ GRANTS for current_user",
        "show create user",
        "show `grants`",
        "load data local infile '/etc/passwd' into table page",
        "delete from page",
        "create table x (a int)",
        "select * from page for update",
        "set names sjis",
        "grant all on *.* to x",
        "begin not atomic select 1; end",
        // Every account may change its own password.
        "set password = password('x')",
        "set autocommit = 1, password = password('x')",
        "set names utf8mb4, password = 'x'",
        "set transaction read only, password = 'x'",
        "set @a = 1, global max_connections = 1",
        "set global max_connections = 1",
        "set @@global.max_connections = 1",
        "set persist max_connections = 1",
        "set role none",
        "set default role none",
        "set session sort_buffer_size = 1000000000",
        "alter user current_user() identified by 'x'",
        "execute immediate concat('delete ', 'from page')",
        "/*! set */ password = 'x'",
        "/*M! select 1 */",
        "/*M!100100 set password = 'x' */",
        "select /* a /* b */ 1 /*! + 1 */",
        "select 1 /*!50000 union select user from mysql.user */",
        "handler page open",
        "lock tables page read",
        "flush tables",
        "shutdown",
        "purge binary logs to 'x'",
        "change master to master_host = 'x'",
        "install soname 'x'",
        "backup stage start",
        "kill user root",
        "kill 99999",
        "select 1 into dumpfile '/tmp/holt'",
        "analyze table page",
        "analyze delete from page",
        "explain delete from page into outfile '/tmp/holt'",
        "with x as (select 1) delete from page",
        "select * from page lock in share mode",
        "set names gbk",
        "set names 'sjis'",
        "set character set big5",
        "set character_set_client = gbk",
        "set character_set_client = @@character_set_filesystem",
        "set collation_connection = 'gbk_chinese_ci'",
        "use enwiki_p; delete from page",
        "select 'x",
        "select 1 /* x",
    ] {
        let refused = client.ask(statement).expect_err(statement);
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

/// Where letters of one byte are read, some bytes are blanks that are none elsewhere. A statement that means one thing to the gateway
/// and another to the server could change the account's own password, which no grant forbids.
#[test]
fn blanks_of_a_character_set_hide_nothing() {
    let world = World::usual();
    let mut client = world.client("a", "enwiki_p");
    client.ask("set names latin1").unwrap();
    let before =
        Database::first().root("select user, authentication_string from mysql.user order by user");
    for statement in [
        &b"set autocommit = 1 --\xa0'\n, password = password('x') --'"[..],
        b"set autocommit = 1 --\x81'\n, password = password('x') --'",
        b"set autocommit = 1 --\x7f'\n, password = password('x') --'",
        b"set autocommit = 1,\xa0password = password('x')",
        b"set\xa0password = password('x')",
        b"\xa0set password = password('x')",
        b"set @a\xa0= 1, password = password('x')",
        b"select 1 --\xa0'\n /*!50000 into outfile '/tmp/holt' */ --'",
        b"select 1 into\xa0outfile '/tmp/holt'",
    ] {
        client.send(0, &[b"\x03", statement].concat());
        let refused = client.hear().unwrap_err();
        assert!(refused.code > 0, "{refused:?}");
        assert_eq!(client.value("select 1"), "1");
    }
    // A quote that an East Asian letter would hide is one here: the session reads as it was told to at its beginning.
    for collation in [1, 13, 28, 95] {
        let mut raw = Raw::greet(world.address);
        let proof = raw.proof("pa");
        let mut said = hello("ha", &proof, "enwiki_p");
        said[8] = collation;
        raw.send(1, &said);
        raw.word().unwrap();
        assert_eq!(raw.value("select @@character_set_client"), "utf8mb4");
        raw.send(0, b"\x03select '\xbf\\' or 1 = 1 -- '");
        assert!(raw.hear().is_ok());
    }
    let after =
        Database::first().root("select user, authentication_string from mysql.user order by user");
    let own = |all: &str| -> Vec<String> {
        all.lines()
            .filter(|line| {
                world
                    .accounts
                    .iter()
                    .any(|account| line.starts_with(account.as_str()))
            })
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(own(&after), own(&before));
    assert_eq!(own(&after).len(), 3);
}

/// Settings are said again for the connection to another section, where a backslash may be read otherwise by then.
#[test]
fn a_setting_that_is_said_again_is_the_same_setting() {
    let world = World::usual();
    let passwords = || {
        let all = Database::second()
            .root("select user, authentication_string from mysql.user order by user");
        let own = |line: &&str| {
            world
                .accounts
                .iter()
                .any(|account| line.starts_with(account.as_str()))
        };
        all.lines()
            .filter(own)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let before = passwords();
    assert_eq!(before.len(), 3);
    for setting in [
        r"set timestamp = (select 1 + ('\' = ')), password = password(0x41) -- '))",
        r"set timestamp = (1 + ('\' = ')), password = password(0x41) -- '))",
        r"set timestamp = 1 + ('\' = '), password = password(0x41) -- ')",
    ] {
        let mut client = world.client("a", "enwiki_p");
        client.ask("set sql_mode = 'NO_BACKSLASH_ESCAPES'").unwrap();
        let set = client.ask(setting);
        client.ask("set sql_mode = ''").unwrap();
        let moved = client.ask("use dewiki_p");
        assert!(
            set.is_err() || moved.is_err(),
            "{setting}: {set:?} {moved:?}"
        );
    }
    // Nor is there anything in a setting that takes time, as nobody would stop it there.
    let mut client = world.client("a", "enwiki_p");
    for setting in [
        "set timestamp = (select sleep(5))",
        "set timestamp = sleep(5)",
        "set timestamp = 1 + benchmark(1000000000, md5('x'))",
        "set timestamp = `sleep` (5)",
        "set sql_select_limit = (select count(*) from page a join page b join page c)",
    ] {
        let refused = client.ask(setting).unwrap_err();
        assert!(
            refused.words.contains("plain value"),
            "{setting}: {refused:?}"
        );
    }
    client
        .ask("set sql_mode = concat(@@sql_mode, ',ANSI_QUOTES'), time_zone = '+01:00'")
        .unwrap();
    // Half of it fails: how backslashes are read is known all the same.
    client
        .ask("set sql_mode = 'NO_BACKSLASH_ESCAPES', lc_messages = 'nobody'")
        .unwrap_err();
    assert_eq!(client.value(r"select length('\'')"), "1");
    assert_eq!(client.value("select @@time_zone"), "+01:00");
    assert_eq!(passwords(), before);
}

/// What no word refuses, and the grants do; or what is lawful and shows nothing of others.
#[test]
fn the_wall_stands_behind_the_words() {
    let world = World::usual();
    let (mut client, mut other) = (world.client("a", "enwiki_p"), world.client("b", "enwiki_p"));
    other.say("select 'secret of b', sleep(3)");
    while world.statements().statements.is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for statement in [
        "select * from mysql.user",
        "select * from mysql.global_priv",
        "select load_file('/etc/passwd')",
        "select * from performance_schema.events_statements_current",
        "select * from performance_schema.threads",
        "select * from information_schema.processlist",
        "show full processlist",
        "show processlist",
        "show grants",
        "show grants for root@localhost",
        "select * from information_schema.user_privileges",
        "select * from information_schema.innodb_trx",
        "show engine innodb status",
        "show binary logs",
        "show variables like 'secure%'",
        "select @@global.init_connect",
        "call mysql.add_geometry_column('', '', '', '', 1)",
        "show create user current_user()",
        "select * from information_schema.tables where table_schema = 'mysql'",
    ] {
        let told = format!("{:?}", client.ask(statement));
        for word in ["secret of b", "root:", "pw0", "*A"] {
            assert!(!told.contains(word), "{statement}: {told}");
        }
        if statement.contains("from mysql.") {
            assert!(told.contains("denied"), "{statement}: {told}");
        }
    }
    assert_eq!(
        client.ask("select load_file('/etc/passwd')").unwrap()[0][0],
        None
    );
    for statement in [
        "do sleep(0.01)",
        "do get_lock('holt', 0)",
        "select benchmark(10, md5('x'))",
    ] {
        client.ask(statement).unwrap();
    }
    let held = client.ask("use dewiki_p").unwrap_err();
    assert!(held.words.contains("lock"), "{held:?}");
    client.ask("select 5 into @b").unwrap();
    assert_eq!(client.value("select @b"), "5");
    assert_eq!(other.hear().unwrap().len(), 1);
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
    // A few bytes that were compressed could be millions of these.
    let mut nothing = world.client("a", "enwiki_p");
    nothing.send(0, b"");
    assert_eq!(nothing.word().unwrap_err().code, 1047);
    assert!(nothing.packet().is_none());
    // These have no answer; what follows them has.
    client.send(0, b"\x19\x09\0\0\0");
    client.send(0, b"\x18\x09\0\0\0\0\0data");
    client.send(0, b"\x0e");
    client.word().unwrap();
    assert_eq!(client.value("select 1"), "1");
}

#[test]
fn a_change_of_user_wants_the_password_of_that_user() {
    let world = World::usual();
    let change = |raw: &mut Raw, user: &str, password: &str| {
        let said = [
            b"\x11",
            user.as_bytes(),
            b"\0\0dewiki_p\0",
            &[33, 0],
            b"mysql_native_password\0",
        ]
        .concat();
        raw.send(0, &said);
        let asked = raw.word().unwrap();
        assert_eq!(asked[0], 0xFE);
        let challenge = asked.len() - 21;
        raw.nonce = asked[challenge..asked.len() - 1].to_vec();
        let proof = raw.proof(password);
        raw.send(2, &proof);
        raw.word().map(drop)
    };
    let mut raw = world.client("a", "enwiki_p");
    raw.ask("set @a = 1").unwrap();
    change(&mut raw, "hb", "pb").unwrap();
    assert_eq!(raw.value("select database()"), "dewiki_p");
    let own =
        raw.value("select info from information_schema.processlist where id = connection_id()");
    assert!(own.starts_with("/* holt user=2 "), "{own}");
    assert_eq!(raw.ask("select @a").unwrap()[0][0], None);
    for (user, password) in [("ha", "pb"), ("hx", "pa"), ("", "")] {
        let mut raw = world.client("a", "enwiki_p");
        assert_eq!(change(&mut raw, user, password).unwrap_err().code, 1045);
        assert!(raw.ask("select 1").is_err(), "the connection is over");
    }
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

/// One notebook opens more connections than the gateway has room for at its door, and says nothing in any.
#[test]
fn who_crowds_the_door_keeps_nobody_else_out() {
    let world = World::usual();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let crowd = runtime.block_on(async {
        let mut crowd = Vec::new();
        for _ in 0..700 {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
            crowd.push(socket.connect(world.address).await.unwrap());
        }
        crowd
    });
    for _ in 0..5 {
        assert_eq!(world.client("a", "enwiki_p").value("select 1"), "1");
    }
    // Who is turned away is told why: those who came last among them.
    use std::io::Read as _;
    let told = crowd.into_iter().rev().find_map(|socket| {
        let mut socket = socket.into_std().ok()?;
        socket.set_nonblocking(false).ok()?;
        let mut told = Vec::new();
        socket.read_to_end(&mut told).ok()?;
        (!told.is_empty()).then(|| String::from_utf8_lossy(&told).into_owned())
    });
    assert!(told.is_some_and(|told| told.contains("Too many connections")));
}

/// One notebook begins large statements in many connections and ends none, to take all memory.
#[test]
fn large_statements_of_one_user_are_read_a_few_at_a_time() {
    let world = World::usual();
    let long = format!("\x03select length('{}')", "x".repeat(3 << 20));
    let mut header = u32::try_from(long.len()).unwrap().to_le_bytes();
    header[3] = 0;
    let mut begun: Vec<Raw> = (0..2)
        .map(|_| {
            let mut raw = world.client("a", "enwiki_p");
            raw.send_bytes(&header);
            raw.send_bytes(&long.as_bytes()[..2 << 20]);
            raw
        })
        .collect();
    // These two are being read; the next one of the same user waits, and anybody else's does not.
    std::thread::scope(|scope| {
        let next = scope.spawn(|| {
            let mut next = world.client("a", "enwiki_p");
            next.send(0, long.as_bytes());
            next.hear().unwrap()[0][0].clone()
        });
        let mut other = world.client("b", "enwiki_p");
        other.send(0, long.as_bytes());
        assert_eq!(other.hear().unwrap()[0][0].as_deref(), Some("3145728"));
        assert_eq!(world.client("a", "enwiki_p").value("select 1"), "1");
        let waited = std::time::Instant::now();
        while waited.elapsed() < std::time::Duration::from_secs(1) {
            assert!(!next.is_finished(), "it was read beside two others");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let mut first = begun.remove(0);
        first.send_bytes(&long.as_bytes()[2 << 20..]);
        assert_eq!(first.hear().unwrap()[0][0].as_deref(), Some("3145728"));
        assert_eq!(next.join().unwrap().as_deref(), Some("3145728"));
    });
}

#[test]
fn who_says_nothing_is_not_waited_for_for_ever() {
    let world = World::usual();
    let mut silent = Raw::greet(world.address);
    assert_eq!(silent.packet(), None);
}
