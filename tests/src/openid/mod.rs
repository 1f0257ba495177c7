//! A real OpenID provider: the library `oidc-provider`, certified by the OpenID Foundation, with its own pages for signing in and consent.
//!
//! It is installed once below the build directory. Any name that is typed is an account, and one that begins with `keeper` is in a group.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Runs on every Node.js that Debian has.
const PACKAGE: &str = "oidc-provider@8.8.1";
const PROGRAM: &str = include_str!("provider.mjs");
/// The client it knows.
pub const CLIENT_ID: &str = "holt";
/// The client's secret; of tests only.
pub const CLIENT_SECRET: &str = "b2c0c1a5e6f94d0e8f5f0a7f5c4e3d21";

/// A running provider. Dropping it ends it.
#[derive(Debug)]
pub struct OpenId {
    child: Child,
    port: u16,
    /// It ends when nobody could hear it.
    _hears: BufReader<ChildStdout>,
}

impl OpenId {
    /// Starts one that sends browsers back to this address.
    ///
    /// # Errors
    /// When it cannot be installed or started.
    pub async fn start(callback: &str) -> Result<Self> {
        let holt = crate::hub::binary()?;
        let target = holt.parent().and_then(Path::parent);
        let home = target
            .context("the binary lies nowhere")?
            .join("peers/openid");
        let callback = callback.to_owned();
        tokio::task::spawn_blocking(move || {
            install(&home)?;
            run(&home, &callback)
        })
        .await?
    }

    /// What it calls itself.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for OpenId {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn install(home: &Path) -> Result<()> {
    std::fs::create_dir_all(home)?;
    let lock = File::create(home.with_extension("lock"))?;
    lock.lock()?;
    let mark = home.join("installed");
    if std::fs::read_to_string(&mark).is_ok_and(|found| found == PACKAGE) {
        return Ok(());
    }
    let output = Command::new("npm")
        .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
        .arg(home)
        .arg(PACKAGE)
        .stdin(Stdio::null())
        .output()
        .context("npm cannot be run; tests/run installs it")?;
    ensure!(
        output.status.success(),
        "npm could not install {PACKAGE}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::write(mark, PACKAGE)?;
    Ok(())
}

fn run(home: &Path, callback: &str) -> Result<OpenId> {
    let port = crate::free_port()?;
    let program = home.join(format!("provider-{port}.mjs"));
    std::fs::write(&program, PROGRAM)?;
    let mut child = Command::new("node")
        .arg(&program)
        .args([&port.to_string(), callback])
        .env("CLIENT_SECRET", CLIENT_SECRET)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut said = String::new();
    let stdout = child.stdout.take().context("no output")?;
    let mut hears = BufReader::new(stdout);
    let read = hears.read_line(&mut said);
    let provider = OpenId {
        child,
        port,
        _hears: hears,
    };
    let removed = std::fs::remove_file(program);
    ensure!(
        read.is_ok() && said.trim() == "ready" && removed.is_ok(),
        "the provider did not start: {said}"
    );
    Ok(provider)
}
