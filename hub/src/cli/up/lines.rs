//! The command lines of the roles under `holt up`.

use std::ffi::OsString;

use super::mounts::KeepsMounts;
use crate::cli::Overrides;
use crate::config::{LogFormat, Settings};
use crate::supervisor::CommandLines;

/// How the roles are started: as we were, with what only we know.
pub(super) fn command_lines(
    overrides: &Overrides,
    settings: &Settings,
    keeps_mounts: KeepsMounts,
) -> CommandLines {
    let data_dir = &settings.data_dir;
    let of_role = |role: &str| {
        let mut line: Vec<OsString> =
            vec![role.into(), "--data-dir".into(), data_dir.path().into()];
        if let Some(file) = &settings.file {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            line.extend(["--config".into(), file.into()]);
        }
        line
    };
    let mut hub = of_role("hub");
    if let Some(url) = &overrides.public_url {
        hub.extend(["--public-url".into(), url.into()]);
    }
    let mut control = OsString::from("unix:");
    control.push(data_dir.proxy_socket());
    let mut proxy: Vec<OsString> = vec![
        "proxy".into(),
        "--control".into(),
        control,
        "--state-dir".into(),
        data_dir.proxy_state().into(),
        "--workers".into(),
        settings.proxy_workers().to_string().into(),
    ];
    if settings.log.format != LogFormat::Auto {
        proxy.extend(["--log-format".into(), settings.log.format.word().into()]);
    }
    proxy.extend(["--log-filter".into(), settings.log.filter.as_str().into()]);
    for network in &settings.proxy.trusted_proxies {
        proxy.extend(["--trusted-proxies".into(), network.to_string().into()]);
    }
    let replicas = settings.replicas.is_on().then(|| of_role("replicas"));
    CommandLines {
        hub,
        proxy,
        replicas,
        node: (keeps_mounts == KeepsMounts::Yes).then(|| of_role("node")),
    }
}
