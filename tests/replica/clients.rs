//! The libraries that people use: MariaDB's own client, PyMySQL, and a client library of MySQL.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::world::World;

/// Python with the libraries, made once.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let place = crate::database::scratch().join("python");
        let run = |program: &Path, arguments: &[&str]| {
            let done = Command::new(program).args(arguments).output().unwrap();
            assert!(
                done.status.success(),
                "{}",
                String::from_utf8_lossy(&done.stderr)
            );
        };
        run(
            Path::new("python3"),
            &["-m", "venv", place.to_str().unwrap()],
        );
        let python = place.join("bin/python");
        run(
            &python,
            &[
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "PyMySQL==1.1.2",
                "mysql-connector-python==9.1.0",
                "SQLAlchemy==2.0.43",
            ],
        );
        python
    })
}

fn script(world: &World, text: &str) -> String {
    let head = format!(
        "host, port, user, password = '127.0.0.1', {}, 'ha', 'pa'\n",
        world.address.port()
    );
    let done = Command::new(python())
        .arg("-c")
        .arg(head + text)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

fn mariadb(world: &World, arguments: &[&str], statements: &str) -> String {
    let mut client = Command::new("mariadb");
    client.args([
        "--no-defaults",
        "--batch",
        "--skip-column-names",
        "-h127.0.0.1",
        "-uha",
        "-ppa",
    ]);
    client
        .arg(format!("-P{}", world.address.port()))
        .args(arguments)
        .args(["-e", statements]);
    let done = client.output().unwrap();
    assert!(
        done.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8_lossy(&done.stdout)
        .trim()
        .replace('\n', " ")
}

#[test]
fn the_client_of_mariadb_reads_both_sections() {
    let world = World::usual();
    let statements = "select page_title from page where page_id = 1; use dewiki_p; select page_title from page where page_id = 1; call two_results()";
    for arguments in [
        &["enwiki_p"][..],
        &["--compress", "enwiki_p"],
        &["--ssl", "enwiki_p"],
        &["--ssl", "--compress", "enwiki_p"],
        &["-A", "enwiki_p"],
    ] {
        assert_eq!(
            mariadb(&world, arguments, statements),
            "enwiki_p_1 dewiki_p_1 1 2\t3",
            "{arguments:?}"
        );
    }
    let cipher = mariadb(&world, &["--ssl"], "status");
    assert!(cipher.contains("Cipher in use is TLS"), "{cipher}");
    let rows = mariadb(
        &world,
        &["--compress", "enwiki_p"],
        "select * from revision",
    );
    assert_eq!(rows.matches("20260101000000").count(), 5000);
}

#[test]
fn pymysql_reads_both_sections() {
    let world = World::usual();
    let text = "
import pymysql
c = pymysql.connect(host=host, port=port, user=user, password=password, database='enwiki_p')
k = c.cursor()
k.execute('select page_title from page where page_id = %s', (1,)); print(k.fetchone()[0].decode())
k.execute('use dewiki_p')
k.execute('select page_title from page where page_id = 1'); print(k.fetchone()[0].decode())
c.select_db('enwiki_p'); c.ping()
k = c.cursor(pymysql.cursors.SSCursor)
k.execute('select * from revision'); print(sum(1 for _ in k))
try:
    k.execute('delete from page')
except pymysql.err.MySQLError as e:
    print(e.args[0])
";
    assert_eq!(script(&world, text), "enwiki_p_1\ndewiki_p_1\n5000\n1792");
}

#[test]
fn a_client_library_of_mysql_reads_both_sections() {
    let world = World::usual();
    let text = "
import mysql.connector
for more in ({}, {'compress': True}, {'ssl_disabled': True}, {'auth_plugin': 'caching_sha2_password'}):
    m = mysql.connector.connect(host=host, port=port, user=user, password=password, database='enwiki_p', use_pure=True, **more)
    k = m.cursor(prepared=True)
    k.execute('select page_title from page where page_id = %s', (5,)); print(bytes(k.fetchone()[0]).decode(), end=' ')
    k.execute('select page_title from page where page_id = %s', (6,)); print(bytes(k.fetchone()[0]).decode(), end=' ')
    k.close()
    k = m.cursor()
    k.execute('select count(*) from dewiki_p.page'); print(k.fetchone()[0], end=' ')
    k.callproc('two_results'); print(len(list(k.stored_results())), end=' ')
    if 'compress' not in more:
        m.cmd_change_user('hb', 'pb', 'dewiki_p')
        m.cmd_reset_connection()
        k = m.cursor(); k.execute('select database()'); print(k.fetchone()[0])
    else:
        print()
    m.close()
";
    let line = "enwiki_p_5 enwiki_p_6 1000 2";
    assert_eq!(
        script(&world, text),
        format!("{line} dewiki_p\n{line} \n{line} dewiki_p\n{line} dewiki_p")
    );
}

#[test]
fn large_parameters_of_prepared_statements_pass() {
    let world = World::usual();
    let text = "
import mysql.connector, io
for more in ({}, {'compress': True}):
    m = mysql.connector.connect(host=host, port=port, user=user, password=password, database='enwiki_p', use_pure=True, **more)
    k = m.cursor(prepared=True)
    for size in (0xFFFFFF - 40, 0xFFFFFF, 17 << 20, 40 << 20):
        k.execute('select length(%s)', (b'x' * size,)); print(k.fetchone()[0] == size, end=' ')
    k.execute('select length(%s)', (io.BytesIO(b'y' * (18 << 20)),)); print(k.fetchone()[0])
    m.close()
m = mysql.connector.connect(host=host, port=port, user=user, password=password, database='enwiki_p', use_pure=True)
try:
    m.cursor(prepared=True).execute('select length(%s)', (b'x' * (70 << 20),))
except mysql.connector.Error as e:
    print(e.errno)
";
    let line = "True True True True 18874368";
    assert_eq!(script(&world, text), format!("{line}\n{line}\n1153"));
}

#[test]
fn no_file_of_the_clients_is_read() {
    let world = World::usual();
    let text = "
import pymysql, mysql.connector
c = pymysql.connect(host=host, port=port, user=user, password=password, database='enwiki_p', local_infile=True)
try:
    c.cursor().execute(\"load data local infile '/etc/passwd' into table page\")
except pymysql.err.MySQLError as e:
    print(e.args[0])
m = mysql.connector.connect(host=host, port=port, user=user, password=password, database='enwiki_p', use_pure=True, allow_local_infile=True)
try:
    m.cursor().execute(\"load data local infile '/etc/passwd' into table page\")
except mysql.connector.Error as e:
    print(e.errno)
m.close()
";
    assert_eq!(script(&world, text), "1148\n1148");
}

#[test]
fn every_client_lists_the_wikis_of_all_sections() {
    let world = World::usual();
    let listed = "information_schema dewiki_p enwiki_p meta_p wikidatawiki_p";
    for arguments in [&[][..], &["--compress"], &["--ssl"]] {
        assert_eq!(mariadb(&world, arguments, "show databases"), listed);
    }
    let text = "
import mysql.connector, pymysql
m = mysql.connector.connect(host=host, port=port, user=user, password=password, use_pure=True)
k = m.cursor(); k.execute('show databases'); print(*[row[0] for row in k])
c = pymysql.connect(host=host, port=port, user=user, password=password)
k = c.cursor(); k.execute(\"show databases like 'de%'\"); print(*k.fetchone(), k.description[0][0])
";
    assert_eq!(
        script(&world, text),
        format!("{listed}\ndewiki_p Database (de%)")
    );
}

#[test]
fn sqlalchemy_reads_tables_and_rows() {
    let world = World::usual();
    let text = "
import sqlalchemy as sa
e = sa.create_engine(f'mysql+pymysql://{user}:{password}@{host}:{port}/enwiki_p?charset=utf8mb4')
with e.connect() as c:
    print(c.execute(sa.text('select actor_name from actor where actor_id = 3')).scalar().decode())
print(sorted(sa.inspect(e).get_table_names()))
";
    assert_eq!(
        script(&world, text),
        "Ünïcödé 3\n['actor', 'page', 'revision']"
    );
}
