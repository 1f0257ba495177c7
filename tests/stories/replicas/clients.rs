//! Every client that people use, in a real server: each reaches every section with nothing said but the wiki.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use holt_tests::docker::{self, inspect};
use holt_tests::hub::Hub;
use holt_tests::images;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;

use super::World;

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

/// Percent signs beside a parameter: two that would be taken for another one, and one as it is written.
const PERCENT: &str = r#"
number = 2
for like in ("en%", "%site%%", "en%%"):
    try:
        query = f"SELECT page_title FROM page WHERE page_title LIKE '{like}' AND page_id = %(number)s"
        ip.run_cell_magic("sql", "enwiki found", query)
        print("\nfound", found["page_title"][0])
    except Exception as error:
        print(error)
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

    let said = kernel.run(PERCENT).await?;
    let told = "enwiki: where a query has parameters, any other % is written twice, as in LIKE 'A%%'; here one stands alone:";
    ensure!(
        said.matches(told).count() == 2 && said.ends_with("found enwiki_p"),
        "{said}"
    );

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
