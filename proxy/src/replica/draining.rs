//! Which backends take no new connections because an operator said so. It is kept in the state directory, so that a gateway that begins
//! anew goes on as it was told.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::Gateway;

fn kept(state_dir: &Path) -> PathBuf {
    state_dir.join("draining.json")
}

/// Takes what was kept. A backend that the settings do not name any more is forgotten.
pub(crate) fn take_kept(gateway: &Gateway) {
    let path = kept(&gateway.settings.state_dir);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "Which replica servers are draining cannot be read, so none is");
            return;
        }
    };
    let addresses: Vec<String> = match serde_json::from_slice(&text) {
        Ok(addresses) => addresses,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "Which replica servers are draining cannot be understood, so none is");
            return;
        }
    };
    for address in addresses {
        if set(gateway, &address, true) {
            tracing::info!(backend = address, "A replica server is draining, as before");
        }
    }
}

/// Changes a backend; whether there is such a one.
pub(crate) fn set(gateway: &Gateway, address: &str, draining: bool) -> bool {
    let mut found = false;
    for target in gateway
        .targets()
        .filter(|target| *target.dial.address == *address)
    {
        target.draining.store(draining, Ordering::Relaxed);
        found = true;
    }
    found
}

/// Keeps what is in force.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn keep(gateway: &Gateway) -> std::io::Result<()> {
    let mut addresses: Vec<&str> = gateway
        .targets()
        .filter(|target| target.draining.load(Ordering::Relaxed))
        .map(|target| &*target.dial.address)
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let path = kept(&gateway.settings.state_dir);
    let new = path.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(&addresses)?)?;
    std::fs::rename(&new, &path)
}
