//! SQL on the wiki replicas from notebooks: nothing to set up, nothing to steal, and gone with the server.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holt_tests::docker::{self, inspect};
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::kernel::Kernel;
use holt_tests::mariadb::MariaDb;
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use reqwest::Method;
use serde_json::Value;

/// A hub with two sections of replicas.
struct World {
    hub: Hub,
    s1: MariaDb,
    _s5: MariaDb,
}

impl World {
    async fn start() -> Result<Self> {
        docker::engine_answers().await?;
        let image = images::single_user().await?;
        let (s1, s5) = tokio::try_join!(
            MariaDb::start("s1", &["enwiki_p", "meta_p"]),
            MariaDb::start("s5", &["dewiki_p"])
        )?;
        let accounts: String = (1..=4).map(|n| format!("reader{n} reader;")).collect();
        let mut hub = Hub::new(
            Wish::default()
                .env("HOLT__REPLICAS__ACCOUNTS", &accounts)
                .config(&format!("[docker]\nimage = \"{image}\""))
                .config(&format!(
                    "[replica_section.s1]\nbackends = [\"{}\"]\ndatabases = [\"enwiki_p\", \"meta_p\"]",
                    s1.address()
                ))
                .config(&format!(
                    "[replica_section.s5]\nbackends = [\"{}\"]\ndatabases = [\"dewiki_p\"]",
                    s5.address()
                )),
        )?;
        hub.up().await?;
        let world = Self { hub, s1, _s5: s5 };
        // Hosts are written when a container is made: by then the hub has asked the gateway which wikis there are.
        let rows = world.hub.rows().await?;
        eventually(
            "the hub knows the wikis",
            Duration::from_secs(30),
            || async {
                let kept = rows
                    .count("SELECT count(*) FROM settings WHERE key = 'replicas.databases'")
                    .await
                    .map_err(|error| format!("{error:#}"))?;
                if kept == 1 {
                    Ok(())
                } else {
                    Err("nothing is kept".to_owned())
                }
            },
        )
        .await
        .with_context(|| world.hub.said())?;
        Ok(world)
    }

    /// The container of a person's only server.
    async fn container(&self, person: &Person) -> Result<String> {
        let mut kernel = Kernel::started(person, "").await?;
        let address = kernel
            .run("import socket; print(socket.gethostbyname(socket.gethostname()))")
            .await?;
        for container in self.hub.containers().await? {
            let description = inspect(&container.name).await?.to_string();
            if description.contains(&format!("\"{address}\"")) {
                return Ok(container.name);
            }
        }
        anyhow::bail!("no container has {address}")
    }

    /// What of a person's own runs, by the API.
    async fn statements(&self, person: &Person) -> Result<Vec<Value>> {
        let answer = person
            .api(Method::GET, "/hub/api/replicas/statements", None)
            .await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{status} {text}");
        let listed: Value = serde_json::from_str(&text)?;
        Ok(listed["statements"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until a person's only statement runs, and names it.
    async fn running(&self, person: &Person) -> Result<String> {
        eventually("a statement runs", Duration::from_secs(20), || async {
            let listed = self.statements(person).await;
            let listed = listed.map_err(|error| format!("{error:#}"))?;
            match listed.as_slice() {
                [one] => Ok(one["id"].as_str().unwrap_or_default().to_owned()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// Waits until the first section runs nothing of a query that has this in it.
    async fn over(&self, mark: &str) -> Result<()> {
        eventually("the replica runs it no more", Duration::from_secs(20), || async {
            let query = format!(
                "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%{mark}%' AND info NOT LIKE '%processlist%'"
            );
            let count = self.s1.sql(&query).await;
            match count.map_err(|error| format!("{error:#}"))?.as_str() {
                "0" => Ok(()),
                other => Err(format!("{other} of it")),
            }
        })
        .await
    }
}

/// Every client that people use, each on both sections, with nothing said but the wiki. Prints one line for each.
const CLIENTS: &str = r#"
import subprocess, os
for client in ("mariadb", "sql"):
    for wiki in ("enwiki", "dewiki"):
        place = [wiki] if client == "sql" else [wiki + "_p"]
        done = subprocess.run([client, *place, "-Ne", "SELECT page_title FROM page WHERE page_id = 2"], capture_output=True, text=True)
        print(client, done.stdout.strip() or done.stderr)
import pymysql
connection = pymysql.connect()
with connection.cursor() as cursor:
    for wiki in ("enwiki", "dewiki"):
        cursor.execute(f"SELECT page_title FROM {wiki}_p.page WHERE page_id = 2")
        print("pymysql", cursor.fetchone()[0].decode())
with pymysql.connect(read_default_file="~/replica.my.cnf", database="dewiki_p").cursor() as cursor:
    cursor.execute("SELECT page_title FROM page WHERE page_id = %s", [2])
    print("file", cursor.fetchone()[0].decode())
import sqlalchemy, pandas
for wiki in ("enwiki", "dewiki"):
    engine = sqlalchemy.create_engine(f"mysql+pymysql:///{wiki}_p")
    print("sqlalchemy", pandas.read_sql("SELECT page_title FROM page WHERE page_id = 2", engine)["page_title"][0].decode())
import toolforge
for wiki, cluster in (("enwiki", "web"), ("dewiki", "analytics")):
    with toolforge.connect(wiki, cluster=cluster).cursor() as cursor:
        cursor.execute("SELECT page_title FROM page WHERE page_id = 2")
        print("toolforge", cursor.fetchone()[0].decode())
from pywikibot.data.mysql import mysql_query
for wiki in ("enwiki", "dewiki"):
    print("pywikibot", *[row[0].decode() for row in mysql_query("SELECT page_title FROM page WHERE page_id = 2", dbname=wiki)])
import replica
for wiki in ("enwiki", "dewiki"):
    print("replica", replica.query(wiki, "SELECT page_title FROM page WHERE page_id = 2", progress=False)["page_title"][0])
ip = get_ipython()
for wiki in ("enwiki", "dewiki"):
    ip.run_cell_magic("sql", f"{wiki} found", "SELECT page_title FROM page WHERE page_id = 2")
    # On a line of its own, whatever was shown before.
    print("\nmagic", found["page_title"][0])
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_client_reaches_every_section_with_nothing_set_up() -> Result<()> {
    let world = World::start().await?;
    let rook = Person::user(&world.hub, "Rook").await?;
    // A file of their own, from before there were replicas.
    let home = rooks_home(&world.hub).await?;
    std::fs::create_dir_all(&home)?;
    std::fs::write(
        home.join(".my.cnf"),
        "[client]\ndefault-character-set=utf8mb4\n",
    )?;
    rook.start("").await?;
    let mut kernel = Kernel::started(&rook, "").await?;

    let seen = kernel
        .run("print(open('/home/paws/.my.cnf').read())")
        .await?;
    ensure!(
        seen.contains("default-character-set"),
        "their own file became {seen:?}"
    );
    let link = kernel
        .run("import os; print(os.readlink('/home/paws/replica.my.cnf'), oct(os.stat('/home/paws/replica.my.cnf').st_mode))")
        .await?;
    ensure!(link == "/run/holt/replica.my.cnf 0o100400", "{link}");
    // Without it, theirs is a link too: `mariadb` reads that alone.
    let script = "os.remove('/home/paws/.my.cnf'); os.symlink('/run/holt/replica.my.cnf', '/home/paws/.my.cnf')";
    kernel.run(script).await?;

    let printed = kernel.run(CLIENTS).await?;
    let lines: Vec<&str> = printed
        .lines()
        .filter(|line| line.split(' ').count() == 2)
        .collect();
    let expected: Vec<String> = [
        "mariadb",
        "sql",
        "pymysql",
        "file",
        "sqlalchemy",
        "toolforge",
        "pywikibot",
        "replica",
        "magic",
    ]
    .iter()
    .flat_map(|client| {
        let wikis: &[&str] = if *client == "file" {
            &["dewiki_p"]
        } else {
            &["enwiki_p", "dewiki_p"]
        };
        wikis.iter().map(move |wiki| format!("{client} {wiki}"))
    })
    .collect();
    ensure!(lines == expected, "{printed}");

    let password = kernel.run("print(os.environ['MYSQL_PASSWORD'])").await?;
    ensure!(password.len() > 30, "{password:?}");
    let container = world.hub.containers().await?.remove(0).name;
    let description = inspect(&container).await?.to_string();
    ensure!(
        !description.contains(&password),
        "the password is in the container's description"
    );
    ensure!(
        !world.hub.said().contains(&password),
        "the password is in the log"
    );
    let database = std::fs::read(world.hub.data_dir().join("holt.db"))?;
    let wal = std::fs::read(world.hub.data_dir().join("holt.db-wal")).unwrap_or_default();
    for bytes in [database, wal] {
        let found = bytes
            .windows(password.len())
            .any(|window| window == password.as_bytes());
        ensure!(!found, "the password is in the database");
    }
    // What the replica sees says whose query it is, whatever the query says.
    let mut open = Kernel::started(&rook, "").await?;
    open.run("import pymysql; c = pymysql.connect(database='enwiki_p').cursor(); c.execute(\"SELECT info FROM information_schema.processlist WHERE id = CONNECTION_ID()\"); info = c.fetchone()[0]").await?;
    let info = open.run("print(info)").await?;
    ensure!(info.starts_with("/*"), "no comment begins {info:?}");
    Ok(())
}

/// Two wikis as pywikibot meets them, in the notebook itself: what the API tells of a wiki, and a family that leads there. The way to
/// the replicas is what the image and the server's start made.
const WIKIS: &str = r#"
import http.server, json, os, threading
class Wiki(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        general = {"wikiid": self.path.split("/")[1] + "wiki", "generator": "MediaWiki 1.45.0", "case": "first-letter", "lang": "en",
                   "sitename": "Wiki", "thumblimits": {}, "imagelimits": {}, "magiclinks": {}}
        namespaces = {"0": {"id": 0, "case": "first-letter", "name": "", "content": True},
                      "1": {"id": 1, "case": "first-letter", "name": "Talk", "canonical": "Talk"}}
        user = {"id": 0, "anon": True, "name": "127.0.0.1", "rights": [], "groups": []}
        told = {"general": general, "namespaces": namespaces, "namespacealiases": [], "userinfo": user}
        body = json.dumps({"batchcomplete": True, "query": told}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Wiki)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.makedirs("/tmp/families")
with open("/tmp/families/near_family.py", "w") as file:
    file.write(f'''
from pywikibot import family
class Family(family.Family):
    name = "near"
    langs = {{"en": "127.0.0.1:{server.server_port}", "de": "127.0.0.1:{server.server_port}"}}
    def protocol(self, code):
        return "http"
    def scriptpath(self, code):
        return "/" + code
''')
import pywikibot
from pywikibot import config, pagegenerators
config.register_families_folder("/tmp/families")
for code in ("en", "de"):
    site = pywikibot.Site(code, "near")
    query = "SELECT page_namespace, page_title FROM page ORDER BY page_id"
    print(*[page.title() for page in pagegenerators.MySQLPageGenerator(query, site=site)])
    factory = pagegenerators.GeneratorFactory(site=site)
    factory.handle_arg("-mysqlquery:" + query + " LIMIT 1")
    print(*[page.title() for page in factory.getCombinedGenerator()])
"#;

#[tokio::test(flavor = "multi_thread")]
async fn pywikibot_makes_pages_of_what_a_query_finds() -> Result<()> {
    let world = World::start().await?;
    let rook = Person::user(&world.hub, "Rook").await?;
    rook.start("").await?;
    let mut kernel = Kernel::started(&rook, "").await?;
    let printed = kernel.run(WIKIS).await?;
    ensure!(
        printed.trim() == "Zürich Enwiki p Talk:Talk\nZürich\nZürich Dewiki p Talk:Talk\nZürich",
        "{printed}"
    );
    Ok(())
}

/// Where Rook's files are on this machine.
async fn rooks_home(hub: &Hub) -> Result<PathBuf> {
    let rows = hub.rows().await?;
    let id = rows
        .count("SELECT id FROM users WHERE name = 'Rook'")
        .await?;
    Ok(hub.data_dir().join("homes").join(id.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_good_from_its_own_server_alone_and_ends_with_it() -> Result<()> {
    let world = World::start().await?;
    let rook = Person::user(&world.hub, "Rook").await?;
    let wren = Person::user(&world.hub, "Wren").await?;
    tokio::try_join!(rook.start(""), wren.start(""))?;
    let mut rooks = Kernel::started(&rook, "").await?;
    let mut wrens = Kernel::started(&wren, "").await?;
    // Printed in a public notebook, say.
    let shown = rooks
        .run("import os; print(os.environ['MYSQL_USERNAME'], os.environ['MYSQL_PASSWORD'])")
        .await?;
    let (user, password) = shown.split_once(' ').context("two words")?;
    let steal = format!(
        "import pymysql, os\ntry:\n    pymysql.connect(host=os.environ['MYSQL_HOST'], port=int(os.environ['MYSQL_PORT']), user='{user}', password='{password}')\n    print('let in')\nexcept pymysql.MySQLError as error:\n    print(error.args[0])"
    );
    let stolen = wrens.run(&steal).await?;
    ensure!(stolen == "1045", "from another's server: {stolen}");
    ensure!(rooks.run(&steal).await? == "let in", "from their own");

    // Both in one section at once: neither sees the other's query.
    rooks
        .run("import pymysql, threading\nopen_one = pymysql.connect(database='enwiki_p')\ndef long():\n    try:\n        with open_one.cursor() as cursor:\n            cursor.execute('SELECT SLEEP(90), \"rooks\" FROM page LIMIT 1')\n        global ended; ended = 'by itself'\n    except Exception as error:\n        ended = repr(error)\nended = None\nthreading.Thread(target=long).start()")
        .await?;
    world.running(&rook).await?;
    let sees = wrens
        .run("c = pymysql.connect(database='enwiki_p').cursor(); c.execute('SHOW PROCESSLIST'); print('rooks' in repr(c.fetchall()))")
        .await?;
    ensure!(sees == "False", "another's query is seen");
    ensure!(
        world.statements(&wren).await?.is_empty(),
        "another's query is listed"
    );

    // An ordinary sign-out stops nothing; nor does a hub that is killed.
    let phone = Person::stranger(&world.hub)?;
    phone.open(&world.hub.user_link(rook.name()).await?).await?;
    phone.open("/hub/logout").await?;
    world.hub.kill("hub")?;
    world.hub.ready(Duration::from_secs(30)).await?;
    let id = world.running(&rook).await?;

    // The page lists it, and stops it.
    let page = rook.open("/hub/replicas").await?.text().await?;
    ensure!(
        page.contains("SLEEP(90)") && page.contains("up to date"),
        "{page}"
    );
    let others = wren
        .post(&format!("/hub/replicas/statements/{id}/stop"), &[])
        .await?;
    ensure!(others.status() == 303, "{}", others.status());
    ensure!(world.running(&rook).await? == id, "another stopped it");
    rook.post(&format!("/hub/replicas/statements/{id}/stop"), &[])
        .await?;
    world.over("rooks").await?;
    ensure!(
        world.statements(&rook).await?.is_empty(),
        "it is listed still"
    );
    let ended = rooks
        .run("import time\nwhile ended is None: time.sleep(0.1)\nprint(ended)")
        .await?;
    ensure!(
        ended.contains("1317") || ended.contains("3024") || ended.contains("OperationalError"),
        "{ended}"
    );

    // A stop of the server closes what it has open.
    let container = world.container(&rook).await?;
    rooks
        .leave_running("print('.', flush=True); c = pymysql.connect(database='enwiki_p').cursor(); c.execute('SELECT SLEEP(91), \"rooks\" FROM page')")
        .await?;
    world.running(&rook).await?;
    rook.ask_stop("").await?;
    world.over("rooks").await?;
    rook.until_stopped("", Duration::from_secs(40)).await?;
    ensure!(
        inspect(&container).await.is_err(),
        "the container is there still"
    );
    // Nor is it good afterwards, wherever it is used: their own next server has another one.
    let after = wrens.run(&steal).await?;
    ensure!(after == "1045", "after the end: {after}");
    rook.start("").await?;
    let mut next = Kernel::started(&rook, "").await?;
    let after = next.run(&steal).await?;
    ensure!(after == "1045", "from their own next server: {after}");
    let new = next
        .run("pymysql.connect(database='enwiki_p').cursor().execute('SELECT 1 FROM page')")
        .await?;
    ensure!(new == "3", "{new}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_everywhere_closes_and_stops() -> Result<()> {
    let world = World::start().await?;
    let rook = Person::user(&world.hub, "Rook").await?;
    rook.start("").await?;
    let kernel = Kernel::started(&rook, "").await?;
    kernel
        .leave_running(
            "import replica\nprint('.', flush=True)\nreplica.query('enwiki', 'SELECT SLEEP(92), \"everywhere\" FROM page')",
        )
        .await?;
    world.running(&rook).await?;
    let left = rook.post("/hub/sessions/end", &[]).await?;
    ensure!(left.status() == 303, "{}", left.status());
    ends_before_its_server(&world.hub, &world.s1, "everywhere").await
}

/// Waits until a server is gone, and sees to it that the query of it that has this in it was gone before.
async fn ends_before_its_server(hub: &Hub, replica: &MariaDb, mark: &str) -> Result<()> {
    let query = format!(
        "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%{mark}%' AND info NOT LIKE '%processlist%'"
    );
    eventually("the server is gone", Duration::from_secs(60), || async {
        // In this order: what runs after the server was gone, ran when it went.
        let servers = hub
            .containers()
            .await
            .map_err(|error| format!("{error:#}"))?;
        let running = replica.sql(&query).await;
        let running = running.map_err(|error| format!("{error:#}"))?;
        match (servers.len(), running.as_str()) {
            (0, "0") => Ok(()),
            (0, _) => panic!("the server is gone, and its query runs still"),
            (servers, running) => Err(format!("{servers} servers, {running} queries")),
        }
    })
    .await
}

/// An account that the wiki locks loses what it has open at the replicas, and then its server.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_account_loses_its_queries_before_its_server() -> Result<()> {
    let s1 = MariaDb::start("s1", &["enwiki_p"]).await?;
    let accounts = tempfile::NamedTempFile::new()?;
    std::fs::write(accounts.path(), "reader1 reader\nreader2 reader\n")?;
    let others = format!(
        "[lock_check]\ninterval = \"10s\"\n[replicas]\naccounts_file = \"{}\"\n\
         [replica_section.s1]\nbackends = [\"{}\"]\ndatabases = [\"enwiki_p\"]",
        accounts.path().display(),
        s1.address()
    );
    let (hub, wiki) = super::wiki::hub_with("oauth2", &others, "label = \"Wikimedia\"").await?;
    wiki.account(7_000_003, "Locked soon");
    let person = Person::by_wiki(&hub, "Locked soon").await?;
    person.start("").await?;
    let kernel = Kernel::started(&person, "").await?;
    kernel
        .leave_running(
            "import pymysql\nprint('.', flush=True)\npymysql.connect(database='enwiki_p').cursor().execute('SELECT SLEEP(93), \"locked\" FROM page')",
        )
        .await?;
    let running = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%\"locked\"%' AND info NOT LIKE '%processlist%'";
    eventually("the query runs", Duration::from_secs(20), || async {
        match s1
            .sql(running)
            .await
            .map_err(|error| format!("{error:#}"))?
            .as_str()
        {
            "1" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await?;
    wiki.change_account(7_000_003, |account| account.locked = true)?;
    ends_before_its_server(&hub, &s1, "\"locked\"").await
}

/// Without a container engine a server is a process of this machine, and has the same files and environment.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_a_process_reaches_the_replicas_too() -> Result<()> {
    let s1 = MariaDb::start("s1", &["enwiki_p"]).await?;
    let hub = Wish::default()
        .env("HOLT__REPLICAS__ACCOUNTS", "reader1 reader")
        .config("[spawner]\nkind = \"process\"")
        .config(&format!(
            "[replica_section.s1]\nbackends = [\"{}\"]\ndatabases = [\"enwiki_p\"]",
            s1.address()
        ))
        .start()
        .await?;
    let admin = Person::admin(&hub).await?;
    admin.start("").await?;
    let mut kernel = Kernel::started(&admin, "").await?;
    let asks = |options: &str| {
        format!(
            "import subprocess, os\ndone = subprocess.run(['mariadb', *({options}), 'enwiki_p', '-Ne', 'SELECT page_title FROM page WHERE page_id = 2'], capture_output=True, text=True)\nprint(done.stdout.strip() or done.stderr)"
        )
    };
    let told = kernel.run(&asks("[]")).await?;
    ensure!(told == "enwiki_p", "by ~/.my.cnf: {told}");
    let told = kernel
        .run(&asks(
            "['--defaults-file=' + os.path.expanduser('~/replica.my.cnf')]",
        ))
        .await?;
    ensure!(told == "enwiki_p", "by ~/replica.my.cnf: {told}");
    let by_environment = "['--no-defaults', '-h' + os.environ['MYSQL_HOST'], '-P' + os.environ['MYSQL_PORT'], '-u' + os.environ['MYSQL_USERNAME'], '-p' + os.environ['MYSQL_PASSWORD']]";
    let told = kernel.run(&asks(by_environment)).await?;
    ensure!(told == "enwiki_p", "by the environment: {told}");
    let mode = kernel
        .run("print(oct(os.stat(os.path.expanduser('~/.my.cnf')).st_mode), os.environ['TOOL_REPLICA_USER'] == os.environ['MYSQL_USERNAME'])")
        .await?;
    ensure!(mode == "0o100400 True", "{mode}");
    let old = kernel
        .run("print(os.environ['MYSQL_HOST'], os.environ['MYSQL_PORT'], os.environ['MYSQL_USERNAME'], os.environ['MYSQL_PASSWORD'], os.path.realpath(os.path.expanduser('~/.my.cnf')))")
        .await?;
    let old: Vec<&str> = old.split(' ').collect();
    let [host, port, user, password, file] = old[..] else {
        anyhow::bail!("{old:?}")
    };
    let enter = async || -> Result<String> {
        let output = tokio::process::Command::new("mariadb")
            .args(["--no-defaults", "-h", host, "-P", port, "-u", user])
            .arg(format!("-p{password}"))
            .args(["-Ne", "SELECT 7"])
            .output()
            .await?;
        let told = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&told).trim().to_owned())
    };
    ensure!(enter().await? == "7", "{}", enter().await?);
    // From the very same address: what ended is good for nothing.
    admin.ask_stop("").await?;
    admin.until_stopped("", Duration::from_secs(40)).await?;
    let told = enter().await?;
    ensure!(told.contains("1045"), "{told}");
    ensure!(
        !std::path::Path::new(file).exists(),
        "{file} is there still"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_is_told_how_the_replicas_are() -> Result<()> {
    let world = World::start().await?;
    let told = world.hub.holt(&["doctor"]).await?;
    ensure!(told.contains("the replica gateway answers"), "{told}");
    ensure!(
        told.contains("section s1 answers") && told.contains("section s5 answers"),
        "{told}"
    );
    ensure!(
        told.contains("the replica gateway, as servers need it: as it should be"),
        "{told}"
    );
    ensure!(!told.contains("hides their addresses"), "{told}");
    Ok(())
}

/// R is in no image of ours. So it is run where a server is: in its network, with what its server was given.
#[tokio::test(flavor = "multi_thread")]
async fn rmariadb_reaches_every_section_with_nothing_said() -> Result<()> {
    let world = World::start().await?;
    let image = images::r_client().await?;
    let rook = Person::user(&world.hub, "Rook").await?;
    rook.start("").await?;
    let container = world.hub.containers().await?.remove(0).name;
    let file = docker::exec(&container, &["cat", "/home/paws/.my.cnf"]).await?;
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join(".my.cnf"), file)?;
    let script = "c <- DBI::dbConnect(RMariaDB::MariaDB()); for (wiki in c('enwiki_p', 'dewiki_p')) { \
                  found <- DBI::dbGetQuery(c, paste0('SELECT CAST(page_title AS CHAR) AS title FROM ', wiki, '.page WHERE page_id = 2')); \
                  cat(found$title, '') }; DBI::dbDisconnect(c)";
    let printed = docker::docker(&[
        "run",
        "--rm",
        "--network",
        &format!("container:{container}"),
        "--volume",
        &format!("{}:/root:ro", folder.path().display()),
        &image,
        "Rscript",
        "-e",
        script,
    ])
    .await?;
    ensure!(printed.trim() == "enwiki_p dewiki_p", "{printed}");
    Ok(())
}
