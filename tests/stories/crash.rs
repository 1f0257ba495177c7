//! `kill -9` of the hub at each written-down step of start, stop and delete, and at random moments, with one hub and with two.
//!
//! After each, rows and containers agree and nothing is lost, doubled or left over.
//! `HOLT_TEST_RANDOM_KILLS` says how many random moments (five when it does not).

use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use holt_tests::docker;
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use reqwest::Method;

const SOON: Duration = Duration::from_secs(60);

/// Where a step was written down and not taken, or taken and its end not written down.
const WHILE_STARTING: &[&str] = &[
    "prepare:begun",
    "create:begun",
    "create:acted",
    "bind:begun",
    "bind:acted",
    "await:begun",
    "await:acted",
];
const WHILE_STOPPING: &[&str] = &[
    "retire:begun",
    "retire:acted",
    "stop:begun",
    "stop:acted",
    "remove:begun",
    "remove:acted",
];

struct Scene {
    hub: Hub,
    rook: Person,
    second: Option<Child>,
    crash_at: std::path::PathBuf,
}

impl Scene {
    async fn set(second: bool) -> Result<Self> {
        docker::engine_answers().await?;
        let image = images::single_user().await?;
        let crash_at = std::env::temp_dir().join(format!("holt-t-crash-{}", std::process::id()));
        let _ = std::fs::remove_file(&crash_at);
        let hub = Wish::default()
            .config(&format!("[docker]\nimage = \"{image}\""))
            .config("[server]\nnamed_servers_per_user = 3\nstop_grace = \"2s\"")
            .env("HOLT_CRASH_AT", &crash_at.display().to_string())
            .start()
            .await?;
        let rook = Person::user(&hub, "Rook").await?;
        let mut scene = Self {
            hub,
            rook,
            second: None,
            crash_at,
        };
        if second {
            scene.second = Some(scene.second_hub()?);
            let rows = scene.hub.rows().await?;
            eventually("two hubs say that they answer", SOON, || async {
                match rows.count("SELECT count(*) FROM hubs").await {
                    Ok(2) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await?;
        }
        Ok(scene)
    }

    /// Another hub on the same data, as a second machine would run one.
    fn second_hub(&self) -> Result<Child> {
        let socket = self.hub.data_dir().join("run/hub-2.sock");
        let mut command = self.hub.command(&["hub", "--socket"])?;
        let log = std::fs::File::create(self.hub.scratch("hub-2.err"))?;
        Ok(command
            .arg(socket)
            .args(["--listen", &format!("127.0.0.1:{}", self.hub.port())])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?)
    }

    fn arm(&self, point: &str) -> Result<()> {
        // Whole or not there: a hub may look at any moment.
        let draft = self.crash_at.with_extension("draft");
        std::fs::write(&draft, point)?;
        Ok(std::fs::rename(draft, &self.crash_at)?)
    }

    /// The hub that met the point has ended; if it was the second one, it is started again.
    async fn until_crashed(&mut self, point: &str) -> Result<()> {
        let path = self.crash_at.clone();
        eventually(&format!("some hub reaches {point}"), SOON, || async {
            if path.exists() {
                Err(format!("{:?}", self.rows_in_words().await))
            } else {
                Ok(())
            }
        })
        .await?;
        self.revive().await
    }

    async fn revive(&mut self) -> Result<()> {
        if let Some(child) = &mut self.second
            && child.try_wait()?.is_some()
        {
            self.second = Some(self.second_hub()?);
        }
        self.hub.ready(SOON).await
    }

    async fn rows_in_words(&self) -> Result<String> {
        Ok(format!("{:?}", self.hub.rows().await?.servers().await?))
    }

    /// Asks, whether or not a hub dies while it answers.
    async fn ask(&self, method: Method, server: &str, remove: bool) {
        let path = if server.is_empty() {
            "/hub/api/users/Rook/server".to_owned()
        } else {
            format!("/hub/api/users/Rook/servers/{server}")
        };
        let body = remove.then(|| serde_json::json!({"remove": true}));
        let _ = self.rook.api(method, &path, body.as_ref()).await;
    }

    /// Asks until the wish is a row: a hub that died before it wrote it down has promised nothing.
    async fn wish(&self, server: &str, wanted: &str) -> Result<()> {
        let rows = self.hub.rows().await?;
        let (method, remove) = match wanted {
            "running" => (Method::POST, false),
            "stopped" => (Method::DELETE, false),
            _ => (Method::DELETE, true),
        };
        eventually(&format!("the wish {wanted} is kept"), SOON, || async {
            let asking = self.ask(method.clone(), server, remove);
            // It answers when all is done; the row is there long before.
            let _ = tokio::time::timeout(Duration::from_millis(300), asking).await;
            let servers = rows.servers().await.map_err(|error| format!("{error:#}"))?;
            match servers.iter().find(|row| row.name == server) {
                None if remove => Ok(()),
                Some(row) if row.wanted == wanted => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// The server runs, once, and can be used.
    async fn runs_once(&self, server: &str) -> Result<()> {
        self.rook.until_ready(server, SOON).await?;
        self.agree(1).await?;
        self.rook.enter(server).await?;
        let mut kernel = Kernel::started(&self.rook, server).await?;
        ensure!(kernel.run("6*7").await? == "42");
        Ok(())
    }

    /// As many live launches as containers, the same ones; tokens and routes for no others.
    async fn agree(&self, expected: usize) -> Result<()> {
        let rows = self.hub.rows().await?;
        eventually(&format!("{expected} launches and containers"), SOON, || async {
            let words = |error: anyhow::Error| format!("{error:#}");
            let launches = rows.live_launches().await.map_err(words)?;
            let containers = self.hub.containers().await.map_err(words)?;
            let mut found: Vec<_> = containers.iter().map(|c| c.launch.clone()).collect();
            found.sort();
            let strays = rows
                .count("SELECT (SELECT count(*) FROM tokens WHERE kind = 'server' AND launch NOT IN (SELECT id FROM launches WHERE phase <> 'gone')) \
                        + (SELECT count(*) FROM oauth_clients WHERE launch NOT IN (SELECT id FROM launches WHERE phase <> 'gone')) \
                        + (SELECT count(*) FROM routes WHERE server_id NOT IN (SELECT id FROM servers WHERE launch IS NOT NULL)) \
                        + (SELECT count(*) FROM tickets)")
                .await
                .map_err(words)?;
            if launches == found && launches.len() == expected && strays == 0 {
                Ok(())
            } else {
                Err(format!("launches {launches:?}, containers {containers:?}, {strays} strays"))
            }
        })
        .await
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(child) = &mut self.second {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_file(&self.crash_at);
    }
}

async fn killed_at_each_step(second: bool) -> Result<()> {
    let mut scene = Scene::set(second).await?;
    for point in WHILE_STARTING {
        scene.arm(point)?;
        scene.wish("", "running").await?;
        scene.until_crashed(point).await?;
        scene
            .runs_once("")
            .await
            .with_context(|| format!("killed at {point}"))?;
        scene.wish("", "stopped").await?;
        scene
            .agree(0)
            .await
            .with_context(|| format!("killed at {point}, stopped"))?;
    }
    for point in WHILE_STOPPING {
        scene.wish("", "running").await?;
        scene.rook.until_ready("", SOON).await?;
        scene.arm(point)?;
        scene.wish("", "stopped").await?;
        scene.until_crashed(point).await?;
        scene
            .agree(0)
            .await
            .with_context(|| format!("killed at {point}"))?;
    }
    for point in ["stop:acted", "remove:acted", "forget:begun"] {
        scene.wish("lab", "running").await?;
        scene.rook.until_ready("lab", SOON).await?;
        scene.arm(point)?;
        scene.wish_deleted().await?;
        scene.until_crashed(point).await?;
        scene
            .forgotten("lab")
            .await
            .with_context(|| format!("killed at {point}"))?;
        scene.agree(0).await?;
    }
    // A server that only died: the hub is killed while it finds out why.
    scene.wish("", "running").await?;
    scene.rook.until_ready("", SOON).await?;
    scene.arm("mourn:begun")?;
    let container = scene.hub.containers().await?.remove(0);
    docker::docker(&["kill", &container.name]).await?;
    scene.until_crashed("mourn:begun").await?;
    scene.agree(0).await
}

impl Scene {
    async fn wish_deleted(&self) -> Result<()> {
        let rows = self.hub.rows().await?;
        eventually("the wish to delete is kept", SOON, || async {
            let asking = self.ask(Method::DELETE, "lab", true);
            let _ = tokio::time::timeout(Duration::from_millis(300), asking).await;
            let left = rows
                .count("SELECT count(*) FROM servers WHERE name = 'lab' AND wanted <> 'deleted'")
                .await
                .map_err(|error| format!("{error:#}"))?;
            if left == 0 {
                Ok(())
            } else {
                Err("it is still wanted".to_owned())
            }
        })
        .await
    }

    async fn forgotten(&self, _server: &str) -> Result<()> {
        let rows = self.hub.rows().await?;
        eventually("the server is forgotten", SOON, || async {
            match rows
                .count("SELECT count(*) FROM servers WHERE name = 'lab'")
                .await
            {
                Ok(0) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }
}

async fn killed_at_random_moments(second: bool) -> Result<()> {
    let kills: u32 = std::env::var("HOLT_TEST_RANDOM_KILLS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(5);
    let mut scene = Scene::set(second).await?;
    for kill in 0..kills {
        let running = kill % 2 == 0;
        let wanted = if running { "running" } else { "stopped" };
        scene.wish("", wanted).await?;
        // Moments spread over a start or a stop, not the same in any two runs.
        let chance = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)?
            .subsec_nanos();
        let moment = u64::from(chance % 2500);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        if let (Some(child), true) = (&mut scene.second, kill % 3 == 1) {
            child.kill()?;
            child.wait()?;
        } else {
            // The supervisor may just be about to bring it back.
            eventually("a hub that can be killed", SOON, || async {
                scene.hub.kill("hub").map_err(|error| format!("{error:#}"))
            })
            .await?;
        }
        scene.revive().await?;
        let told = format!("kill {kill}, {moment} ms after the wish {wanted}");
        match wanted {
            "running" => scene.runs_once("").await.context(told)?,
            "stopped" => scene.agree(0).await.context(told)?,
            other => bail!("no such wish: {other}"),
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_hub_killed_at_each_step_loses_nothing() -> Result<()> {
    killed_at_each_step(false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_hubs_killed_at_each_step_loses_nothing() -> Result<()> {
    killed_at_each_step(true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_hub_killed_at_random_moments_loses_nothing() -> Result<()> {
    killed_at_random_moments(false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hubs_killed_at_random_moments_lose_nothing() -> Result<()> {
    killed_at_random_moments(true).await
}
