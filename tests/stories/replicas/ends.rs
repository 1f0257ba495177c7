//! What a server was given works from it alone, and ends before it does: by a stop, a sign-out everywhere, or a lock.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holt_tests::docker::inspect;
use holt_tests::hub::{Hub, Wish};
use holt_tests::kernel::Kernel;
use holt_tests::mariadb::MariaDb;
use holt_tests::person::Person;
use holt_tests::wait::eventually;

use super::World;
use crate::wiki::hub_with;

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
    let (hub, wiki) = hub_with("oauth2", &others, "label = \"Wikimedia\"").await?;
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
