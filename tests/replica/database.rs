//! Real MariaDB servers: two for all tests, which stand for two sections, and more for tests that break theirs.

#[path = "mysql.rs"]
mod mysql;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use holt_tests::free_port;

/// How long a server may take to come up.
const UP: Duration = Duration::from_secs(60);

/// Tables with MediaWiki's columns, as the public views of the replicas have them.
const TABLES: &str = "
create table page (page_id int unsigned primary key, page_namespace int not null, page_title varbinary(255) not null, page_is_redirect tinyint unsigned not null default 0, page_is_new tinyint unsigned not null default 0, page_random double unsigned not null, page_touched binary(14) not null, page_links_updated varbinary(14), page_latest int unsigned not null, page_len int unsigned not null, page_content_model varbinary(32), page_lang varbinary(35));
create table revision (rev_id bigint unsigned primary key, rev_page int unsigned not null, rev_comment_id bigint unsigned not null default 0, rev_actor bigint unsigned not null default 0, rev_timestamp binary(14) not null, rev_minor_edit tinyint unsigned not null default 0, rev_deleted tinyint unsigned not null default 0, rev_len int unsigned, rev_parent_id bigint unsigned, rev_sha1 varbinary(32) not null default '');
create table actor (actor_id bigint unsigned primary key, actor_user int unsigned, actor_name varbinary(255) not null);
insert into page select seq, 0, concat(database(), '_', seq), 0, 0, 0.5, '20260101000000', null, seq, 100, 'wikitext', null from seq_1_to_1000;
insert into revision (rev_id, rev_page, rev_timestamp) select seq, 1 + seq % 1000, '20260101000000' from seq_1_to_5000;
insert into actor select seq, seq, concat('Ünïcödé ', seq) from seq_1_to_10;
create procedure two_results() begin select 1; select 2, 3; end;
";

/// A server.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) port: u16,
    directory: PathBuf,
    /// A MySQL instead of a MariaDB.
    is_mysql: bool,
    /// The process.
    running: Mutex<Option<u32>>,
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What changes to the user that servers run as. Not by a server's own option: a change of user takes the signal of its end away.
fn as_mysql() -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=mysql", "--regid=mysql", "--clear-groups"]);
    }
    command
}

fn program(name: &str) -> PathBuf {
    [format!("/usr/sbin/{name}"), format!("/usr/bin/{name}")]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from(name))
}

/// A data directory with the tables of both sections, made once and copied.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let directory = scratch().join("template");
        std::fs::create_dir_all(&directory).unwrap();
        hand_over(&directory);
        let mut install = Command::new(program("mariadb-install-db"));
        install.args([
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        ]);
        install.arg(format!("--datadir={}", directory.display()));
        if is_root() {
            install.arg("--user=mysql");
        }
        let done = install.output().unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        directory
    })
}

/// A directory of these tests. What earlier runs left is taken away: nothing ends a process that could do it at its own end.
pub(crate) fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = SCRATCH.get_or_init(|| {
        const PREFIX: &str = "holt-replica-";
        for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name
                .strip_prefix(PREFIX)
                .and_then(|rest| rest.split('-').next());
            if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let made = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir()
            .unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(made.path(), open).unwrap();
        made
    });
    made.path()
}

fn hand_over(directory: &Path) {
    if is_root() {
        let done = Command::new("chown")
            .args(["-R", "mysql"])
            .arg(directory)
            .status()
            .unwrap();
        assert!(done.success());
    }
}

impl Database {
    /// A server of MySQL's own, with `enwiki_p`.
    pub(crate) fn mysql(name: &str, options: &[&str]) -> Self {
        let directory = scratch().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        hand_over(&directory);
        let mut install = as_mysql();
        install.arg("--").args(mysql::server());
        install.arg("--initialize-insecure");
        install.arg(format!("--datadir={}", directory.join("data").display()));
        let done = install.output().unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        let database = Self {
            port: free_port().unwrap(),
            directory,
            is_mysql: true,
            running: Mutex::new(None),
        };
        database.run(options);
        database.root("create database enwiki_p; create table enwiki_p.page (page_id int unsigned primary key, page_title varbinary(255) not null)");
        for id in 1..=3 {
            database.root(&format!(
                "insert into enwiki_p.page values ({id}, 'enwiki_p_{id}')"
            ));
        }
        database
    }

    /// The server of the first section: `enwiki_p`, `wikidatawiki_p` and `meta_p`.
    pub(crate) fn first() -> &'static Self {
        static FIRST: OnceLock<Database> = OnceLock::new();
        FIRST.get_or_init(|| Self::start("first", &["enwiki_p", "wikidatawiki_p", "meta_p"], &[]))
    }

    /// The server of the second section: `dewiki_p`.
    pub(crate) fn second() -> &'static Self {
        static SECOND: OnceLock<Database> = OnceLock::new();
        SECOND.get_or_init(|| Self::start("second", &["dewiki_p"], &[]))
    }

    /// Lets an account of a pool in, with `pw` and its number for a password.
    pub(crate) fn let_account_in(&self, account: &str, number: usize, grants: &[&str]) {
        // Ways to sign in are mixed: the first account has the one of MariaDB's own. MySQL has one way.
        let how = if number == 0 && !self.is_mysql {
            format!("via ed25519 using password('pw{number}')")
        } else {
            format!("by 'pw{number}'")
        };
        self.root(&format!(
            "drop user if exists {account}@'%'; create user {account}@'%' identified {how}"
        ));
        for grant in grants {
            self.root(&format!("grant {grant} to {account}@'%'"));
        }
    }

    /// A server of one's own with these databases and options.
    pub(crate) fn start(name: &str, databases: &[&str], options: &[&str]) -> Self {
        let directory = scratch().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let copied = Command::new("cp")
            .arg("-a")
            .arg(template())
            .arg(directory.join("data"))
            .status()
            .unwrap();
        assert!(copied.success());
        hand_over(&directory);
        let database = Self {
            port: free_port().unwrap(),
            directory,
            is_mysql: false,
            running: Mutex::new(None),
        };
        database.run(options);
        database.fill(databases);
        database
    }

    fn fill(&self, databases: &[&str]) {
        for name in databases {
            self.root(&format!("create database {name}"));
            self.root_in(name, TABLES);
        }
        if databases.contains(&"meta_p") {
            self.root("create table meta_p.wiki (dbname varchar(32) primary key, lang varchar(12), name text, family text, url text, slice text, is_closed tinyint);
                insert into meta_p.wiki values ('enwiki', 'en', 'Wikipedia', 'wikipedia', 'https://en.wikipedia.org', 's1.labsdb', 0), ('dewiki', 'de', 'Wikipedia', 'wikipedia', 'https://de.wikipedia.org', 's2.labsdb', 0), ('wikidatawiki', 'en', 'Wikidata', 'wikidata', 'https://www.wikidata.org', 's1.labsdb', 0)");
        }
    }

    fn run(&self, options: &[&str]) {
        // It ends with the tests, however these end.
        let mut command = as_mysql();
        command.args(["--pdeathsig", "KILL", "--"]);
        if self.is_mysql {
            command.args(mysql::server());
        } else {
            command.arg(program("mariadbd")).arg("--no-defaults");
        }
        command.args([
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--max-allowed-packet=64M",
            "--innodb-buffer-pool-size=16M",
            "--performance-schema=off",
        ]);
        if self.is_mysql {
            command.args(["--mysqlx=off", "--secure-file-priv=NULL"]);
        } else {
            command.args([
                "--innodb-log-file-size=16M",
                "--plugin-load-add=auth_ed25519",
            ]);
        }
        command.arg(format!(
            "--datadir={}",
            self.directory.join("data").display()
        ));
        command.arg(format!("--socket={}", self.socket().display()));
        command.arg(format!("--port={}", self.port));
        command.args(options);
        let log = std::fs::File::create(self.directory.join("log")).unwrap();
        command.stdout(Stdio::null()).stderr(log);
        let (tell, told) = std::sync::mpsc::channel();
        // The signal comes when the thread ends that made the process, so that thread stays.
        std::thread::spawn(move || {
            let mut child = command.spawn().unwrap();
            tell.send(child.id()).unwrap();
            drop(child.wait());
            drop(tell);
            loop {
                std::thread::park();
            }
        });
        *self.running.lock().unwrap() = Some(told.recv().unwrap());
        let began = Instant::now();
        while self.ask_root("", "select 1").is_err() {
            assert!(
                began.elapsed() < UP,
                "{}",
                std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("s")
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.running.lock().unwrap().expect("it runs");
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Kills it without a word.
    pub(crate) fn kill(&self) {
        self.signal(rustix::process::Signal::KILL);
        let pid = self.running.lock().unwrap().take().unwrap();
        while Path::new(&format!("/proc/{pid}/stat")).exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops its processor time; it answers nothing any more.
    pub(crate) fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
        let pid = self.running.lock().unwrap().expect("it runs");
        // Each of its threads stops when it is looked at next.
        let stopped = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('T'))
        };
        while !std::fs::read_dir(format!("/proc/{pid}/task"))
            .unwrap()
            .flatten()
            .all(stopped)
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The end of [`Database::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// Runs it again after [`Database::kill`].
    pub(crate) fn run_again(&self) {
        self.run(&[]);
    }

    /// Does something as root.
    pub(crate) fn root(&self, statements: &str) -> String {
        self.root_in("", statements)
    }

    fn root_in(&self, database: &str, statements: &str) -> String {
        let statements = if statements.contains("procedure") {
            // The client cuts at semicolons; within a procedure it must not.
            let (plain, procedure) = statements.split_once("create procedure").unwrap();
            let procedure = procedure.trim().trim_end_matches(';');
            format!("{plain} delimiter //\ncreate procedure {procedure} //\n")
        } else {
            statements.to_owned()
        };
        self.ask_root(database, &statements)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn ask_root(&self, database: &str, statements: &str) -> Result<String, String> {
        use std::io::Write as _;
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--batch", "--skip-column-names", "-uroot"]);
        client
            .arg(format!("--socket={}", self.socket().display()))
            .arg(database);
        client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut client = client.spawn().map_err(|error| error.to_string())?;
        client
            .stdin
            .take()
            .unwrap()
            .write_all(statements.as_bytes())
            .map_err(|error| error.to_string())?;
        let done = client
            .wait_with_output()
            .map_err(|error| error.to_string())?;
        if done.status.success() {
            Ok(String::from_utf8_lossy(&done.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&done.stderr).into_owned())
        }
    }
}
