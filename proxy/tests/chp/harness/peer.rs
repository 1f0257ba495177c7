//! The real configurable-http-proxy: installed once below the build directory, by whichever test comes first.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// What it is, and the library that does its work: an answer must not change because a newer one came out.
const PACKAGES: [&str; 2] = ["configurable-http-proxy@5.3.0", "http-proxy-3@1.23.3"];

/// The program, to be run with `node`.
pub(crate) fn peer() -> &'static Path {
    static PEER: OnceLock<PathBuf> = OnceLock::new();
    PEER.get_or_init(|| installed(&peers().join("chp")))
}

/// The directory of peers, beside what is built.
fn peers() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_holt-proxy"));
    let target = built.parent().and_then(Path::parent).unwrap();
    target.join("peers")
}

fn installed(home: &Path) -> PathBuf {
    std::fs::create_dir_all(home).unwrap();
    // Other test programs, and other runs, may want it at the same time.
    let lock = File::create(home.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let program = home.join("node_modules/.bin/configurable-http-proxy");
    let whole = home.join("installed");
    if !whole.is_file() {
        install(home);
        std::fs::write(&whole, PACKAGES.join("\n")).unwrap();
    }
    program
}

fn install(home: &Path) {
    let output = Command::new("npm")
        .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
        .arg(home)
        .args(PACKAGES)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("npm cannot be run ({error}). Install Node.js and npm (Debian: nodejs and npm), or run tests/run, which does")
        });
    assert!(
        output.status.success(),
        "npm could not install {}: {}{}",
        PACKAGES.join(" and "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
