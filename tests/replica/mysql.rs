//! A real MySQL server, which Debian has in its unstable suite alone: its packages are unpacked beside the system, and its programs run
//! with the libraries that came with them, so nothing of the machine is changed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const PACKAGE: &str = "mysql-server-core";

/// The words that run the server, but for most options. It is fetched when it is first asked for.
pub(super) fn server() -> Vec<String> {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    let root = ROOT.get_or_init(|| {
        let place = super::scratch().join("mysql");
        fetch(&place.join("apt"));
        unpack(&place.join("apt"), &place.join("root"));
        place.join("root")
    });
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let path = |path: &Path| path.display().to_string();
    vec![
        path(&libraries.join("ld-linux-x86-64.so.2")),
        "--library-path".to_owned(),
        format!("{0}:{0}/mysql", path(&libraries)),
        path(&root.join("usr/sbin/mysqld")),
        // Nothing may come before it.
        "--no-defaults".to_owned(),
        format!("--basedir={}", path(&root.join("usr"))),
        format!("--lc-messages-dir={}", path(&root.join("usr/share/mysql"))),
    ]
}

/// Where this machine has its packages from.
fn mirror() -> String {
    let told = Command::new("apt-get")
        .args(["indextargets", "--format", "$(SITE)"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    told.lines()
        .find(|site| site.ends_with("/debian"))
        .expect("this machine has packages of Debian")
        .to_owned()
}

fn done(command: &mut Command) {
    let output = command.output().unwrap();
    let (told, failed) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}: {told}{failed}");
}

/// Brings the packages and everything that they need, as if nothing were installed.
fn fetch(place: &Path) {
    for folder in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(place.join(folder)).unwrap();
    }
    std::fs::write(place.join("status"), "").unwrap();
    let mirror = std::env::var("HOLT_APT_MIRROR").unwrap_or_else(|_| mirror());
    let source = format!(
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} sid main\n"
    );
    std::fs::write(place.join("sources.list"), source).unwrap();
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        for (name, path) in [
            ("Dir::Etc::SourceList", "sources.list"),
            ("Dir::State::Lists", "lists"),
            ("Dir::State::Status", "status"),
            ("Dir::Cache", "cache"),
        ] {
            command.args(["-o", &format!("{name}={}", place.join(path).display())]);
        }
        command.args(["-o", "Dir::Etc::SourceParts=/dev/null", "-qq"]);
        command.args(["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="]);
        done(command.args(words));
    };
    apt(&["update"]);
    apt(&[
        "install",
        "--yes",
        "--download-only",
        "--no-install-recommends",
        PACKAGE,
    ]);
}

fn unpack(place: &Path, root: &Path) {
    std::fs::create_dir_all(root).unwrap();
    for package in std::fs::read_dir(place.join("cache/archives"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "deb"))
    {
        done(
            Command::new("dpkg")
                .arg("--extract")
                .arg(package.path())
                .arg(root),
        );
    }
}
