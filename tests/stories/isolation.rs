//! A hostile server tries each way it must not have, against stand-ins on this machine that do answer once our table is away.
//!
//! Nothing outside this machine is ever tried.

use std::io::Write;
use std::net::{IpAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holt_tests::docker::{self, docker};
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::kernel::Kernel;
use holt_tests::mend;
use holt_tests::person::Person;
use holt_tests::wait::eventually;

const METADATA: &str = "169.254.169.254";

/// A way that must be closed.
#[derive(Debug, Clone)]
struct Way {
    name: &'static str,
    host: String,
    port: u16,
    /// With our table away it answers; where not, another rule of the machine closes it as well.
    opens: bool,
}

/// Answers on every address of the host, IPv4 and IPv6.
struct StandIn {
    port: u16,
}

impl StandIn {
    fn start() -> Result<Self> {
        let six = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("0.0.0.0:0"))?;
        let port = six.local_addr()?.port();
        let four = TcpListener::bind(("0.0.0.0", port)).ok();
        for listener in [Some(six), four].into_iter().flatten() {
            std::thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let _ = stream.write_all(b"stand-in\n");
                }
            });
        }
        Ok(Self { port })
    }
}

/// The address of a cloud's metadata service, as one more of this machine's own. It needs the right to add one.
struct Metadata;

impl Metadata {
    fn start() -> Option<Self> {
        Command::new("ip")
            .args(["addr", "replace", &format!("{METADATA}/32"), "dev", "lo"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
            .then_some(Self)
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["addr", "del", &format!("{METADATA}/32"), "dev", "lo"])
            .status();
    }
}

/// A container that is removed in the end.
struct Neighbour(String);

impl Neighbour {
    async fn start(name: &str, arguments: &[&str], image: &str) -> Result<Self> {
        let name = format!("holt-t-{name}-{}", std::process::id());
        let neighbour = Self(name.clone());
        let mut all = vec!["run", "--detach", "--name", &name];
        all.extend(arguments);
        let serve = "import http.server; http.server.test(HandlerClass=http.server.BaseHTTPRequestHandler, port=9999, bind='0.0.0.0')";
        all.extend(["--entrypoint", "/opt/venv/bin/python", image, "-c", serve]);
        docker(&all).await?;
        Ok(neighbour)
    }

    async fn address(&self) -> Result<String> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        docker(&["inspect", "--format", format, &self.0]).await
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let mut command = Command::new("docker");
        command.args(["rm", "-f", &self.0]);
        mend::run_for(command, Duration::from_secs(30));
    }
}

/// Tries all ways at once, from inside; returns the names of those that answered.
async fn try_ways(container: &str, ways: &[Way]) -> Result<Vec<String>> {
    let list: Vec<_> = ways
        .iter()
        .map(|way| serde_json::json!([way.name, way.host, way.port]))
        .collect();
    let script = format!(
        "import socket, threading\nfound = []\ndef go(name, host, port):\n    try:\n        socket.create_connection((host, port), 2).close()\n        found.append(name)\n    except OSError:\n        pass\n\
         threads = [threading.Thread(target=go, args=way) for way in {}]\n[t.start() for t in threads]\n[t.join() for t in threads]\nprint('|'.join(sorted(found)))",
        serde_json::Value::from(list)
    );
    let found = docker::exec(container, &["/opt/venv/bin/python", "-c", &script]).await?;
    Ok(found
        .split('|')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect())
}

/// An address of this host that is no loopback and no bridge: what a notebook would find in the outside's view.
fn host_address() -> Option<String> {
    let output = Command::new("hostname").arg("-I").output().ok()?;
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .filter_map(|word| word.parse::<IpAddr>().ok())
        .find(IpAddr::is_ipv4)
        .map(|address| address.to_string())
}

fn docker0_address() -> Option<String> {
    let output = Command::new("ip")
        .args(["-4", "-brief", "addr", "show", "dev", "docker0"])
        .output()
        .ok()?;
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .find_map(|word| word.split_once('/').map(|(address, _)| address.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_forbidden_way_is_open_and_what_is_flushed_is_put_back() -> Result<()> {
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    let hub = Wish::default()
        .config(&format!("[docker]\nimage = \"{image}\""))
        .start()
        .await?;
    let (rook, wren) = (
        Person::user(&hub, "Rook").await?,
        Person::user(&hub, "Wren").await?,
    );
    rook.start("").await?;
    wren.start("").await?;
    let short = hub.short().await?;
    let network = format!("holt-{short}");
    let containers = hub.containers().await?;
    let (server, other) = (containers[0].name.clone(), containers[1].name.clone());
    let other_address = docker(&[
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        &other,
    ])
    .await?;
    let gateway = docker(&[
        "network",
        "inspect",
        "--format",
        "{{range .IPAM.Config}}{{.Gateway}}{{end}}",
        &network,
    ])
    .await?;
    let docker0 = docker0_address().context("the engine's own bridge has no address")?;

    let stand_in = StandIn::start()?;
    let elsewhere = Neighbour::start("elsewhere", &["--network", "bridge"], &image).await?;
    let published_port = holt_tests::free_port()?;
    let publish = format!("0.0.0.0:{published_port}:9999");
    let _published = Neighbour::start(
        "published",
        &["--network", "bridge", "--publish", &publish],
        &image,
    )
    .await?;
    let metadata = Metadata::start();
    let way = |name, host: &str, port, opens| Way {
        name,
        host: host.to_owned(),
        port,
        opens,
    };
    let mut ways = vec![
        way(
            "host port at the bridge's gateway",
            &gateway,
            stand_in.port,
            true,
        ),
        way(
            "host port at another bridge's gateway",
            &docker0,
            stand_in.port,
            true,
        ),
        way(
            "the public listener at the gateway",
            &gateway,
            hub.port(),
            false,
        ),
        way("a server on the same bridge", &other_address, 8888, false),
        way(
            "a container on another bridge",
            &elsewhere.address().await?,
            9999,
            false,
        ),
        way("a published port", &docker0, published_port, true),
    ];
    if let Some(address) = host_address() {
        ways.push(way(
            "host port at the host's address",
            &address,
            stand_in.port,
            true,
        ));
    }
    if metadata.is_some() {
        ways.push(way("the metadata address", METADATA, stand_in.port, true));
    } else {
        eprintln!("this user may not make an interface: the metadata address was not tried");
    }
    // A link-local address is the bridge's own as the container sees it, if it has IPv6 at all.
    let bridge_six = Command::new("ip")
        .args(["-6", "-brief", "addr", "show", "dev", &network])
        .output()?;
    let bridge_six = String::from_utf8_lossy(&bridge_six.stdout).into_owned();
    if let Some(address) = bridge_six
        .split_whitespace()
        .find(|word| word.starts_with("fe80"))
    {
        let address = format!("{}%eth0", address.split('/').next().unwrap_or_default());
        ways.push(way("host port over IPv6", &address, stand_in.port, false));
    }

    let open = try_ways(&server, &ways).await?;
    ensure!(open.is_empty(), "open from a server: {open:?}");

    // The allowed way is open: the hub's API at the internal listener, and nothing else of the hub there.
    let mut kernel = Kernel::started(&rook, "").await?;
    let asked = kernel
        .run("import os, urllib.request as u, urllib.error as e\nb = os.environ['JUPYTERHUB_API_URL']\nprint(u.urlopen(b).status)\ntry: print(u.urlopen(b.replace('/hub/api', '/hub/login')).status)\nexcept e.HTTPError as x: print(x.code)")
        .await?;
    ensure!(
        asked == "200\n404",
        "the internal listener answered {asked:?}"
    );

    // Without our table the stand-ins answer: so it is the table that closes the ways.
    mend::remove_table(&short);
    let open = try_ways(&server, &ways).await?;
    for way in ways.iter().filter(|way| way.opens) {
        ensure!(
            open.iter().any(|name| name == way.name),
            "{} proves nothing: it is closed without our table too ({open:?})",
            way.name
        );
    }

    // The next start puts it back.
    let before = hub.kill("hub")?;
    hub.replaced("hub", before).await?;
    eventually(
        "the ways are closed again",
        Duration::from_secs(60),
        || async {
            match try_ways(&server, &ways).await {
                Ok(open) if open.is_empty() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        },
    )
    .await?;
    kernel
        .run("1")
        .await
        .map(|_| ())
        .context("the kernel outlived it all")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_has_no_more_rights_than_it_needs() -> Result<()> {
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    let hub = Wish::default()
        .config(&format!(
            "[docker]\nimage = \"{image}\"\n[server]\nmemory = \"1GiB\"\npids = 200"
        ))
        .start()
        .await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    let container = hub.containers().await?.remove(0);
    let description = docker::inspect(&container.name).await?;
    let host = &description["HostConfig"];
    ensure!(
        host["CapDrop"] == serde_json::json!(["ALL"]),
        "{}",
        host["CapDrop"]
    );
    ensure!(
        host["CapAdd"].as_array().is_none_or(Vec::is_empty),
        "{}",
        host["CapAdd"]
    );
    ensure!(host["Privileged"] == false && host["PidMode"] == "" && host["NetworkMode"] != "host");
    ensure!(
        host["SecurityOpt"]
            .to_string()
            .contains("no-new-privileges"),
        "{}",
        host["SecurityOpt"]
    );
    ensure!(
        host["PidsLimit"] == 200 && host["Memory"] == 1 << 30,
        "{host}"
    );
    ensure!(host["Init"] == true && host["RestartPolicy"]["Name"] != "always");
    ensure!(
        !host["LogConfig"]["Config"]["max-size"].is_null(),
        "{}",
        host["LogConfig"]
    );
    ensure!(
        !description.to_string().contains("docker.sock"),
        "the engine's socket is inside"
    );
    let status = docker::exec(&container.name, &["cat", "/proc/self/status"]).await?;
    ensure!(
        status.contains("CapEff:\t0000000000000000") && status.contains("NoNewPrivs:\t1"),
        "{status}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_is_refused_for_local_processes() -> Result<()> {
    let hub = Hub::new(
        Wish::default().config("[spawner]\nkind = \"process\"\n[proxy]\nlisten = \"0.0.0.0:8000\""),
    )?;
    let output = tokio::process::Command::from(hub.command(&["check"])?)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(64) && said.contains("without isolation"),
        "{said}"
    );
    Ok(())
}
