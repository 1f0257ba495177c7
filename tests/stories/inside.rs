//! The hub is itself a container of the engine: it joins its servers there, and they still reach nothing else of it.

use std::time::Duration;

use anyhow::{Result, ensure};
use holt_tests::docker::{self, docker};
use holt_tests::hub::Wish;
use holt_tests::images;
use holt_tests::inside::Inside;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;

/// A network of the hub's own port; gone with it.
struct Network(String);

impl Drop for Network {
    fn drop(&mut self) {
        let _ = std::process::Command::new("docker")
            .args(["network", "rm", &self.0])
            .output();
    }
}

/// Whether that address can be connected to from a container.
async fn reaches(container: &str, host: &str, port: u16) -> bool {
    let script = format!("import socket; socket.create_connection(({host:?}, {port}), 2).close()");
    docker::exec(container, &["python3", "-c", &script])
        .await
        .is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_in_a_container_joins_its_servers_and_stays_shut_to_them() -> Result<()> {
    let image = images::single_user().await?;
    let helpers = docker(&[
        "images",
        "holt-helper",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ])
    .await?;
    ensure!(!helpers.is_empty(), "no hub has made its helper image yet");
    // Its name comes after that of the servers' network: so the engine lets the hub's way outside, and its published port, go
    // through that one.
    let network = Network(format!("zz-holt-t-{}", std::process::id()));
    docker(&["network", "create", &network.0]).await?;
    let wish = Wish::default()
        .config(&format!("[docker]\nimage = \"{image}\""))
        .inside(Inside {
            image: helpers.lines().next().unwrap_or_default().to_owned(),
            network: network.0.clone(),
        });
    // Open beyond loopback, so this alone proves that every forbidden way was tried and is closed.
    let mut hub = wish.start().await?;
    let admin = Person::admin(&hub).await?;
    admin.start("").await?;
    let mut kernel = Kernel::start(&admin, "").await?;
    ensure!(kernel.run("x = 6 * 7; x").await?.trim() == "42");
    ensure!(
        hub.data_dir().join("homes/1").is_dir(),
        "the home is elsewhere"
    );

    let server = hub.containers().await?.remove(0).name;
    let networks = docker(&[
        "network",
        "inspect",
        "--format",
        "{{range .IPAM.Config}}{{.Gateway}}{{end}} {{range .Containers}}{{.Name}}={{.IPv4Address}} {{end}}",
        &format!("holt-{}", hub.short().await?),
    ])
    .await?;
    let gateway = networks.split(' ').next().unwrap_or_default().to_owned();
    let own = networks
        .split(' ')
        .find_map(|word| {
            word.strip_prefix("holt-t-inside-")?
                .split('=')
                .nth(1)?
                .split('/')
                .next()
        })
        .unwrap_or_default()
        .to_owned();
    ensure!(
        reaches(&server, &own, 8081).await,
        "servers do not reach {own}"
    );
    for host in [&own, &gateway] {
        ensure!(
            !reaches(&server, host, hub.port()).await,
            "{host}:{} is open to servers",
            hub.port()
        );
    }

    // Another container takes the hub's place: same address, same servers, same kernels.
    let id = kernel.id().to_owned();
    hub.remove_container()?;
    hub.up().await?;
    admin.until_ready("", Duration::from_secs(30)).await?;
    ensure!(
        reaches(&server, &own, 8081).await,
        "the hub is not at {own} again"
    );
    let mut kernel = Kernel::connect(&admin, "", &id).await?;
    ensure!(kernel.run("x").await?.trim() == "42", "another kernel");
    Ok(())
}
