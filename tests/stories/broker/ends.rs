//! What ends a bot ends it at once, though its container still runs: what it asks then, and what it was sending.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use holt_tests::docker;
use holt_tests::kernel::Kernel;
use holt_tests::wait::eventually;

use super::{SOON, acting, container, lingers};

/// Until a request under way is broken off: a second, and what a busy machine takes.
const CUT: Duration = Duration::from_secs(12);

/// A program in the container: asks for something, and says what became of it.
const ASKS: &str = "import json, requests, sys\n\
    token = open('/run/holt/broker/token').read()\n\
    site = json.load(open('/run/holt/broker/sites.json'))['sites'][0]\n\
    headers = {'Authorization': 'Bearer ' + token, 'Holt-Method': 'GET', 'Holt-Url': site['origin'] + site['api'] + '?action=query'}\n\
    answer = requests.post(sys.argv[1], headers=headers)\n\
    print(answer.status_code, answer.headers.get('Holt-Outcome'))";

/// Another one: sends a file bit by bit without an end, until it is answered.
const SENDS: &str = "import json, select, socket, sys, urllib.parse\n\
    token = open('/run/holt/broker/token').read()\n\
    site = json.load(open('/run/holt/broker/sites.json'))['sites'][0]\n\
    url = urllib.parse.urlsplit(sys.argv[1])\n\
    hub = socket.create_connection((url.hostname, url.port))\n\
    head = ['POST ' + url.path + ' HTTP/1.1', 'Host: ' + url.netloc, 'Authorization: Bearer ' + token, 'Holt-Method: POST',\n    \
        'Holt-Url: ' + site['origin'] + site['api'] + '?action=upload', 'Transfer-Encoding: chunked',\n    \
        'Content-Type: multipart/form-data; boundary=b', '', '']\n\
    hub.sendall('\\r\\n'.join(head).encode())\n\
    def send(data):\n    \
        hub.sendall(b'%x\\r\\n%b\\r\\n' % (len(data), data))\n\
    send(b'--b\\r\\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\\r\\n\\r\\n' + b'x' * 200000)\n\
    while not select.select([hub], [], [], 0.2)[0]:\n    \
        send(b'x')\n    \
        open('/tmp/sends', 'w').close()\n\
    said = hub.recv(65536).decode().lower()\n\
    print(said.split()[1], said.split('holt-outcome: ')[1].split()[0])";

async fn ended_by(end: &str) -> Result<()> {
    let others = "[server]\nstop_grace = \"1m\"\n[lock_check]\ninterval = \"10s\"";
    let (hub, wiki, person) = acting("oauth2", others).await?;
    let mut kernel = Kernel::started(&person, "").await?;
    let url = kernel
        .run("import os\nprint(os.environ['HOLT_BROKER_URL'])")
        .await?;
    let url = url.trim().to_owned();
    let container = container(&hub).await?;
    lingers(&container).await?;
    let ask = async || docker::exec(&container, &["python3", "-c", ASKS, &url]).await;
    let said = ask().await?;
    ensure!(said.trim() == "200 answered", "{said}");
    let sending = tokio::spawn({
        let (container, url) = (container.clone(), url.clone());
        async move { docker::exec(&container, &["python3", "-c", SENDS, &url]).await }
    });
    eventually("it sends", SOON, || async {
        docker::exec(&container, &["test", "-e", "/tmp/sends"])
            .await
            .map_err(|error| format!("{error:#}"))
    })
    .await?;
    ensure!(!sending.is_finished());
    match end {
        "stop" => {
            person.ask_stop("").await?;
        }
        "sign-out" => {
            person.post("/hub/sessions/end", &[]).await?;
        }
        _ => {
            wiki.change_account(7_000_003, |account| account.locked = true)?;
            let rows = hub.rows().await?;
            eventually("the hub knows of the lock", SOON, || async {
                let standing = "SELECT count(*) FROM identities WHERE standing <> 'good'";
                match rows.count(standing).await {
                    Ok(1) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await?;
        }
    }
    let said = ask().await.context("the container runs")?;
    ensure!(said.trim() == "403 not-sent", "{said}");
    let said = tokio::time::timeout(CUT, sending)
        .await
        .context("what is sent goes on")???;
    ensure!(said.trim() == "403 unknown", "{said}");
    ensure!(wiki.uploads().is_empty(), "{:?}", wiki.seen());
    docker::exec(&container, &["true"])
        .await
        .context("the container runs")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_it_at_once() -> Result<()> {
    ended_by("stop").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_ends_it_at_once() -> Result<()> {
    ended_by("lock").await
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_everywhere_ends_it_at_once() -> Result<()> {
    ended_by("sign-out").await
}
