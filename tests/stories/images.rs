//! What the single-user image promises, asked from inside, as the person who works there.

use anyhow::{Context, Result};
use holt_tests::docker::docker;
use holt_tests::images;

/// Runs `images/singleuser/contract.py` under the limits a server has.
async fn keeps_its_contract(image: &str, version: &str) -> Result<()> {
    let contract = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../images/singleuser/contract.py")
        .canonicalize()?;
    let name = format!("holt-t-contract-{}", std::process::id());
    let script = std::fs::read_to_string(contract)?;
    let expected = format!("JUPYTERHUB_VERSION_EXPECTED={version}");
    let result = docker(&[
        "run",
        "--rm",
        "--name",
        &name,
        "--init",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "--pids-limit",
        "512",
        "--network",
        "none",
        "--env",
        "HOLT_BIND=off",
        "--env",
        &expected,
        "--entrypoint",
        "/opt/venv/bin/python",
        image,
        "-c",
        &script,
    ])
    .await;
    result
        .map(|_| ())
        .with_context(|| format!("{image} breaks its contract"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_the_hub_builds_keeps_its_contract() -> Result<()> {
    keeps_its_contract(&images::single_user().await?, "5.5.4").await
}
