//! What of this machine a build may use: certificates, pip's settings, proxies. It is gone when the build is.

use std::path::PathBuf;

use super::recipe::{Build, MachineFile};

/// Settings of pip that name paths of this machine or change where it installs to.
const DROPPED: [&str; 9] = [
    "cert",
    "client-cert",
    "cache-dir",
    "find-links",
    "target",
    "prefix",
    "root",
    "user",
    "require-virtualenv",
];

/// Files and variables for one stage.
#[derive(Debug, Default)]
pub(super) struct Machine {
    /// Name below the build's directory, and content.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// For the script's process alone.
    pub(super) env: Vec<String>,
}

/// Looks at the machine.
pub(super) fn look(build: &Build) -> Machine {
    let mut machine = Machine::default();
    for wanted in &build.machine {
        let Some(content) = first(wanted) else {
            continue;
        };
        let content = match wanted.name.ends_with("pip.conf") {
            true => without_local_paths(&String::from_utf8_lossy(&content)).into_bytes(),
            false => content,
        };
        let path = format!("{}/{}", build.directory, wanted.name);
        machine
            .env
            .extend(wanted.env.iter().map(|name| format!("{name}={path}")));
        machine.files.push((wanted.name.clone(), content));
    }
    for name in &build.pass.env {
        if let Ok(value) = std::env::var(name)
            && !value.is_empty()
        {
            machine.env.push(format!("{name}={value}"));
        }
    }
    machine
}

/// The first of the files that is there.
fn first(wanted: &MachineFile) -> Option<Vec<u8>> {
    wanted.from.iter().find_map(|written| {
        let path = expand(written)?;
        path.is_file().then(|| std::fs::read(path).ok()).flatten()
    })
}

/// `$NAME` at the beginning is a variable; unset: no path.
fn expand(written: &str) -> Option<PathBuf> {
    let Some(rest) = written.strip_prefix('$') else {
        return Some(PathBuf::from(written));
    };
    let (name, tail) = rest
        .split_once('/')
        .map_or((rest, None), |(name, tail)| (name, Some(tail)));
    let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
    let path = PathBuf::from(value);
    Some(match tail {
        Some(tail) => path.join(tail),
        None => path,
    })
}

/// `pip.conf` without what makes sense on this machine only. A value may go on in indented lines.
fn without_local_paths(text: &str) -> String {
    let mut is_dropping = false;
    let mut kept = String::new();
    for line in text.lines() {
        let goes_on = line.starts_with([' ', '\t']) && !line.trim().is_empty();
        if !goes_on {
            let name = line.split(['=', ':']).next().unwrap_or_default().trim();
            let name = name.to_ascii_lowercase().replace('_', "-");
            is_dropping = DROPPED.contains(&name.as_str());
        }
        if !is_dropping {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pip_settings_lose_what_is_of_this_machine() {
        let text = "[global]\nindex-url = https://mirror.example/simple\ncert = /etc/ssl/ca.pem\nfind-links =\n  /opt/wheels\n  /opt/more\ntimeout = 5\n";
        assert_eq!(
            without_local_paths(text),
            "[global]\nindex-url = https://mirror.example/simple\ntimeout = 5\n"
        );
    }
}
