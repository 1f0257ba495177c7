//! SQL on the wiki replicas from notebooks: nothing to set up, nothing to steal, and gone with the server.

mod clients;
mod ends;

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
