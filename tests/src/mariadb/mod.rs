//! A real MariaDB server of a test's own, as one section of the replicas: on its own port and directory, and gone with the value.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::wait::eventually;

/// A server that was just installed needs a moment.
const UP: Duration = Duration::from_secs(60);

/// A server.
#[derive(Debug)]
pub struct MariaDb {
    dir: TempDir,
    child: Child,
    port: u16,
}

impl MariaDb {
    /// A server with these databases in MediaWiki's form, and readers `reader1` to `reader4` whose password is `reader`.
    ///
    /// # Errors
    /// With what it printed when it does not come up.
    pub async fn start(section: &str, databases: &[&str]) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("holt-db-").tempdir()?;
        let data = dir.path().join("data");
        let mut install = tokio::process::Command::new("mariadb-install-db");
        install
            .args([
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ])
            .arg(format!("--datadir={}", data.display()))
            // Two that are installed at once must not share their scratch files.
            .arg(format!("--tmpdir={}", dir.path().display()))
            .args(Self::user());
        let output = install.stdin(Stdio::null()).output().await;
        let output = output.context("mariadb-server is needed for this test")?;
        ensure!(
            output.status.success(),
            "mariadb-install-db: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let port = crate::free_port()?;
        let child = Command::new(program())
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", socket(dir.path()).display()))
            .arg(format!("--port={port}"))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
            .args([
                "--innodb-buffer-pool-size=16M",
                "--innodb-flush-log-at-trx-commit=0",
            ])
            .args(Self::user())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(dir.path().join("log"))?)
            .spawn()
            .context("mariadbd is needed for this test")?;
        let server = Self { dir, child, port };
        eventually("the database server answers", UP, || server.sql("SELECT 1"))
            .await
            .with_context(|| server.log())?;
        server.fill(section, databases).await?;
        Ok(server)
    }

    fn user() -> Vec<String> {
        let is_root = rustix::process::geteuid().is_root();
        is_root
            .then(|| "--user=root".to_owned())
            .into_iter()
            .collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// `127.0.0.1:<port>`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Runs statements as the server's administrator, and returns what they print: rows as lines, columns with tabs.
    ///
    /// # Errors
    /// The client's own words.
    pub async fn sql(&self, statements: &str) -> Result<String> {
        let output = tokio::process::Command::new("mariadb")
            .args([
                "--no-defaults",
                "--user=root",
                "--batch",
                "--skip-column-names",
            ])
            .arg(format!("--socket={}", socket(self.dir.path()).display()))
            .args(["--execute", statements])
            .stdin(Stdio::null())
            .output()
            .await
            .context("the MariaDB client is needed for this test")?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned())
    }

    /// MediaWiki's tables as the views of the replicas show them, as far as stories ask for them.
    async fn fill(&self, section: &str, databases: &[&str]) -> Result<()> {
        let mut text = format!(
            "CREATE DATABASE heartbeat_p; CREATE TABLE heartbeat_p.heartbeat (shard VARBINARY(10), last_updated VARBINARY(26), lag DOUBLE);
             INSERT INTO heartbeat_p.heartbeat VALUES ('{section}', '', 0.4);"
        );
        for database in databases {
            text += &format!(
                "CREATE DATABASE {database};
                 CREATE TABLE {database}.page (
                     page_id INT UNSIGNED NOT NULL PRIMARY KEY AUTO_INCREMENT, page_namespace INT NOT NULL,
                     page_title VARBINARY(255) NOT NULL, page_is_redirect TINYINT UNSIGNED NOT NULL DEFAULT 0,
                     page_is_new TINYINT UNSIGNED NOT NULL DEFAULT 0, page_random DOUBLE UNSIGNED NOT NULL DEFAULT 0,
                     page_touched BINARY(14) NOT NULL DEFAULT '20260101000000', page_links_updated VARBINARY(14) DEFAULT NULL,
                     page_latest INT UNSIGNED NOT NULL DEFAULT 0, page_len INT UNSIGNED NOT NULL DEFAULT 0,
                     page_content_model VARBINARY(32) DEFAULT NULL, page_lang VARBINARY(35) DEFAULT NULL);
                 INSERT INTO {database}.page (page_namespace, page_title) VALUES (0, 'Zürich'), (0, '{database}'), (1, 'Talk');"
            );
        }
        for number in 1..=4 {
            text += &format!(
                "CREATE USER reader{number}@'%' IDENTIFIED BY 'reader'; GRANT SELECT, SHOW VIEW ON `%\\_p`.* TO reader{number}@'%';"
            );
        }
        self.sql(&text).await.map(drop)
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn socket(dir: &Path) -> std::path::PathBuf {
    dir.join("s")
}

/// It lies where a user's path may not lead.
fn program() -> &'static str {
    if Path::new("/usr/sbin/mariadbd").exists() {
        "/usr/sbin/mariadbd"
    } else {
        "mariadbd"
    }
}
