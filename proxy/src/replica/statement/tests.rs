//! What is taken, what is refused, and with which words.

use proptest::prelude::*;

use super::*;

fn known(name: &str) -> bool {
    name.ends_with("_p")
}

fn text(statement: &str) -> Result<Statement, SqlError> {
    read(statement.as_bytes(), Sent::Text, Backslash::Escapes, known)
}

#[test]
fn what_reads_is_taken_with_the_databases_it_names() {
    for (statement, databases) in [
        ("SELECT 1", &[][..]),
        (
            "  /* a */ -- b\n select * from dewiki_p.page p where p.page_id=1;",
            &["dewiki_p"],
        ),
        ("(SELECT 1) UNION (SELECT 2)", &[]),
        (
            "SELECT `enwiki_p`.`page`.`page_id` FROM enwiki_p . page",
            &["enwiki_p"],
        ),
        (
            "SELECT 'dewiki_p.page', \"x\" FROM `enwiki_p`.page",
            &["enwiki_p"],
        ),
        ("SELECT * FROM \"dewiki_p\".page", &["dewiki_p"]),
        (
            "WITH a AS (SELECT * FROM a_p.x) SELECT * FROM a JOIN b_p.y",
            &["a_p", "b_p"],
        ),
        ("SHOW TABLES FROM dewiki_p", &["dewiki_p"]),
        ("SHOW TABLES IN `dewiki_p` LIKE 'a%'", &["dewiki_p"]),
        ("DESCRIBE dewiki_p.page", &["dewiki_p"]),
        ("explain select 1", &[]),
        ("ANALYZE FORMAT=JSON SELECT 1", &[]),
        ("CALL x()", &[]),
        ("/* dewiki_p.page */ SELECT x.enwiki_p.y", &[]),
    ] {
        let read = text(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
        assert_eq!(read.databases, databases, "{statement}");
        assert_eq!((read.kind, read.pin), (Kind::Read, None), "{statement}");
    }
}

#[test]
fn what_changes_the_session_is_told() {
    let kind = |statement| text(statement).unwrap().kind;
    assert_eq!(kind("USE dewiki_p"), Kind::Use("dewiki_p".to_owned()));
    assert_eq!(kind("use `dewiki_p` ;"), Kind::Use("dewiki_p".to_owned()));
    assert_eq!(kind("BEGIN"), Kind::Begin);
    assert_eq!(kind("START TRANSACTION READ ONLY"), Kind::Begin);
    assert_eq!(kind("ROLLBACK"), Kind::End);
    let kill = |connection, query_only| Kind::Kill {
        connection,
        query_only,
    };
    assert_eq!(kind("KILL QUERY 7"), kill(7, true));
    assert_eq!(kind("kill 7"), kill(7, false));
    let set = |names: &[&str]| Kind::Set(names.iter().map(ToString::to_string).collect());
    assert_eq!(
        kind("SET NAMES 'utf8mb4' COLLATE utf8mb4_bin"),
        set(&["names"])
    );
    assert_eq!(kind("SET AUTOCOMMIT = 0"), set(&["autocommit"]));
    assert_eq!(
        kind("SET @@session.sql_mode = concat(@@sql_mode, ',ANSI'), time_zone='+00:00'"),
        set(&["sql_mode", "time_zone"])
    );
    assert_eq!(
        kind("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"),
        set(&["transaction"])
    );
    for (statement, pin) in [
        ("SET @a = 1", Pin::Variable),
        ("SELECT @a := 1", Pin::Variable),
        ("SELECT 1 INTO @a", Pin::Variable),
        ("SELECT GET_LOCK('a', 1)", Pin::Lock),
    ] {
        assert_eq!(text(statement).unwrap().pin, Some(pin), "{statement}");
    }
}

#[test]
fn tricks_are_refused_with_words() {
    for statement in [
        "INSERT INTO page VALUES (1)",
        "/* x */ DELETE FROM page",
        "CREATE TEMPORARY TABLE x (a INT)",
        "SELECT 1; DROP TABLE page",
        "SELECT 1;;",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "SELECT 1 INTO/**/DUMPFILE '/tmp/x'",
        "/*!50000 DROP TABLE page */",
        "SELECT 1 /*!50000 INTO OUTFILE '/tmp/x' */",
        "SELECT /*M!100000 1 */",
        "EXECUTE IMMEDIATE 'DROP TABLE page'",
        "PREPARE x FROM 'DROP TABLE page'",
        "SET STATEMENT max_statement_time=0 FOR SELECT 1",
        "SET SESSION TRANSACTION READ WRITE",
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
        "SET @@session.tx_read_only = 0",
        "SET GLOBAL max_connections = 1",
        "SET @@global.max_connections = 1",
        "SET autocommit=1, @@GLOBAL . max_connections = 1",
        "SET PASSWORD = PASSWORD('x')",
        "SET ROLE writer",
        "SET NAMES sjis",
        "SET character_set_client = gbk",
        "SET collation_connection = big5_chinese_ci",
        "START TRANSACTION READ WRITE",
        "START SLAVE",
        "BEGIN NOT ATOMIC SELECT 1; END",
        "LOCK TABLES page READ",
        "SELECT * FROM page FOR UPDATE",
        "SELECT * FROM page LOCK IN SHARE MODE",
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE page",
        "KILL USER x",
        "ANALYZE TABLE page",
        "FLUSH TABLES",
        "SHUTDOWN",
        "SELECT 'open",
        "SELECT 1 /* open",
        "'x'",
        "",
        " ; ",
        "-- nothing",
    ] {
        let refused = text(statement).err();
        assert!(
            refused.is_some_and(|error| error.message.len() > 10),
            "{statement}"
        );
    }
}

#[test]
fn only_reading_is_prepared() {
    let prepare = |text: &str| read(text.as_bytes(), Sent::Prepare, Backslash::Escapes, known);
    assert!(prepare("SELECT ?").is_ok());
    for statement in ["USE dewiki_p", "SET NAMES utf8", "BEGIN", "KILL 1"] {
        assert_eq!(prepare(statement).unwrap_err().code, 1295, "{statement}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, Sent::Text, Backslash::Escapes, known);
        let mut set = b"SET ".to_vec();
        set.extend_from_slice(&bytes);
        let _ = read(&set, Sent::Prepare, Backslash::Plain, known);
    }
}
