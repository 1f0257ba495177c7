//! What servers reach, tried against stand-ins on this machine that do answer once our table is removed.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use crate::support::{Bench, printed};
use holt::spawner::{Spawner, WayResult};

fn run(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("it runs");
    if !output.status.success() {
        println!(
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    output.status.success()
}

/// The one network that this hub made.
fn network_of(hub: &str) -> String {
    let filter = format!("label=holt.hub.network={hub}");
    let output = Command::new("docker")
        .args([
            "network",
            "ls",
            "--filter",
            &filter,
            "--format",
            "{{.Name}}",
        ])
        .output()
        .expect("docker runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Whether a container on that network, confined as servers are, connects.
fn reaches(network: &str, image: &str, target: SocketAddr) -> bool {
    let script = format!(
        "import socket; socket.create_connection(('{}', {}), 1)",
        target.ip(),
        target.port()
    );
    run(
        "docker",
        &[
            "run",
            "--rm",
            "--network",
            network,
            "--cap-drop=ALL",
            "--user=52771:52771",
            "--security-opt=no-new-privileges",
            "--entrypoint=python3",
            image,
            "-c",
            &script,
        ],
    )
}

/// An interface of the test's own with a stand-in's address; gone with it.
struct Interface(&'static str);

impl Interface {
    fn with(name: &'static str, address: &str) -> Self {
        let _left_by_a_killed_run = run("ip", &["link", "del", name]);
        assert!(
            run("ip", &["link", "add", name, "type", "bridge"]),
            "this test needs root"
        );
        assert!(run("ip", &["addr", "add", address, "dev", name]));
        assert!(run("ip", &["link", "set", name, "up"]));
        Self(name)
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        run("ip", &["link", "del", self.0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_forbidden_way_is_closed_and_open_without_our_table() {
    let bench = Bench::new("isolation").await;
    let spawner = bench.spawner();
    let meeting = spawner.prepare(None).await.expect("prepare");
    let helper = spawner
        .helper_reference(printed())
        .await
        .expect("the helper image");
    let network = network_of(&bench.hub);
    let table = network.replace('-', "_");

    let report = spawner.check_isolation().await.expect("a report");
    for way in &report.ways {
        println!("{way:?}");
    }
    assert!(report.is_strong(), "{report:?}");
    assert!(!report.restored);
    assert!(report.ways.len() >= 7, "{report:?}");

    // Stand-ins: a port of this machine, the metadata address, a container's published port, all of them ours.
    let _metadata = Interface::with("holt-test-md", "169.254.169.254/32");
    let host = TcpListener::bind((meeting.listen.ip(), 0)).expect("a port");
    let metadata = TcpListener::bind("169.254.169.254:0").expect("a port");
    let allowed = TcpListener::bind(meeting.listen).expect("the meeting address");
    let ways = [
        host.local_addr().expect("an address"),
        metadata.local_addr().expect("an address"),
    ];
    for target in ways {
        assert!(!reaches(&network, &helper, target), "{target} is open");
    }
    assert!(reaches(
        &network,
        &helper,
        allowed.local_addr().expect("an address")
    ));

    // Another tool flushes everything: now they answer, so their silence was our doing.
    assert!(run("nft", &["delete", "table", "inet", &table]));
    let _bridge_table = run("nft", &["delete", "table", "bridge", &table]);
    for target in ways {
        assert!(
            reaches(&network, &helper, target),
            "{target} does not answer without our table: the try proves nothing"
        );
    }

    // The check puts it back and says so.
    let report = spawner.check_isolation().await.expect("a report");
    assert!(report.restored);
    assert!(
        report.ways.iter().all(|way| way.result == WayResult::Good),
        "{report:?}"
    );
    for target in ways {
        assert!(
            !reaches(&network, &helper, target),
            "{target} is open again"
        );
    }
    bench.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_firewall_in_the_way_is_named_with_its_fix() {
    let bench = Bench::new("blocked").await;
    let spawner = bench.spawner();
    let meeting = spawner.prepare(None).await.expect("prepare");
    let network = network_of(&bench.hub);
    let rule = |action| {
        let ip = meeting.listen.ip().to_string();
        run(
            "iptables",
            &[action, "INPUT", "-i", &network, "-d", &ip, "-j", "DROP"],
        )
    };
    assert!(rule("-I"), "this test needs root");
    let report = spawner.check_isolation().await.expect("a report");
    assert!(rule("-D"));
    let bad: Vec<_> = report
        .ways
        .iter()
        .filter(|way| way.result == WayResult::Bad)
        .collect();
    assert_eq!(bad.len(), 1, "{report:?}");
    let fix = bad[0].fix.clone().expect("a fix");
    assert!(
        fix.contains(&meeting.listen.port().to_string()) || fix.contains("trusted"),
        "{fix}"
    );
    bench.clear().await;
}
