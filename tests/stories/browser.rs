//! The story of the first day, in a real Chromium: from the printed link to a saved notebook, and through every kind of `kill -9`.
//!
//! A picture of each page is kept in `tests/output`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fantoccini::key::Key;
use holt_tests::chrome::Chrome;
use holt_tests::docker;
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::person::Person;
use holt_tests::wait::eventually;

const PAGE: Duration = Duration::from_secs(30);
const LAB: Duration = Duration::from_secs(90);

/// What is printed below each cell, in order.
const OUTPUTS: &str = "return Array.from(document.querySelectorAll('.jp-Cell .jp-OutputArea-output')).map(o => o.innerText.trim()).join('|')";

/// The last cell, which is an empty one: running it makes another.
const LAST_CELL: &str = ".jp-Notebook .jp-Cell:last-of-type .jp-InputArea-editor .cm-content";

/// All that tells why a cell did not run: prompts with their code, the kernel's state, websockets.
const STATE: &str = "return JSON.stringify({ \
    cells: Array.from(document.querySelectorAll('.jp-Notebook .jp-Cell')).map(c => c.innerText), \
    kernel: Array.from(document.querySelectorAll('.jp-Notebook-ExecutionIndicator')).map(e => e.dataset.status), \
    keyboard: document.activeElement && document.activeElement.className, \
    dialogs: Array.from(document.querySelectorAll('.jp-Dialog')).map(d => d.innerText), \
    sockets: window.__sockets})";

async fn hub() -> Result<Hub> {
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    Wish::default()
        .config(&format!("[docker]\nimage = \"{image}\""))
        .start()
        .await
}

/// Types into the last cell until it says so: while JupyterLab is still arranging a new notebook it takes the keyboard away.
async fn write_cell(chrome: &Chrome, code: &str) -> Result<()> {
    let written = format!("return document.querySelector('{LAST_CELL}').innerText");
    eventually(&format!("the last cell says {code}"), PAGE, || async {
        let attempt = async {
            chrome.click(LAST_CELL, PAGE).await?;
            let cell = chrome.element(LAST_CELL, PAGE).await?;
            let all = format!("{}a{}", char::from(Key::Control), char::from(Key::Null));
            cell.send_keys(&all).await?;
            cell.send_keys(code).await?;
            chrome.script(&written).await
        };
        match attempt.await {
            Ok(text) if text.as_str() == Some(code) => Ok(()),
            Ok(text) => Err(text.to_string()),
            Err(error) => Err(format!("{error:#}")),
        }
    })
    .await
}

/// Types a cell and runs it, and waits until `expected` is among what is printed.
async fn run_cell(chrome: &Chrome, code: &str, expected: &str) -> Result<()> {
    write_cell(chrome, code).await?;
    let enter = format!(
        "{}{}{}",
        char::from(Key::Shift),
        char::from(Key::Enter),
        char::from(Key::Null)
    );
    let cell = chrome.element(LAST_CELL, PAGE).await?;
    cell.send_keys(&enter).await?;
    let printed = eventually(&format!("{code} prints {expected}"), PAGE, || async {
        let printed = chrome.script(OUTPUTS).await.map_err(|e| format!("{e:#}"))?;
        let printed = printed.as_str().unwrap_or_default().to_owned();
        if printed.split('|').any(|one| one == expected) {
            Ok(())
        } else {
            Err(printed)
        }
    })
    .await;
    if printed.is_err() {
        let _ = chrome.picture("story-cell-not-run").await;
        let state = chrome.script(STATE).await?;
        return printed.context(state.as_str().unwrap_or_default().to_owned());
    }
    Ok(())
}

/// The kernel's websocket, as this page has it open.
async fn kernel_socket(chrome: &Chrome) -> Result<String> {
    eventually("a kernel's websocket is open", PAGE, || async {
        let sockets = chrome.sockets().await.map_err(|e| format!("{e:#}"))?;
        sockets
            .iter()
            .rfind(|(url, closed)| url.contains("/channels") && !closed)
            .map(|(url, _)| url.clone())
            .ok_or_else(|| format!("{sockets:?}"))
    })
    .await
}

async fn no_kernel_socket_was_closed(chrome: &Chrome, when: &str) -> Result<()> {
    let sockets = chrome.sockets().await?;
    let closed: Vec<_> = sockets
        .iter()
        .filter(|(url, closed)| url.contains("/channels") && *closed)
        .collect();
    ensure!(closed.is_empty(), "{when}: websockets were cut: {closed:?}");
    Ok(())
}

async fn new_notebook(chrome: &Chrome) -> Result<()> {
    chrome
        .click(".jp-LauncherCard[data-category='Notebook']", LAB)
        .await
        .context("JupyterLab shows no launcher")?;
    // Without a kernel the indicator says "idle" too, and a cell that is run then is passed over without a word.
    kernel_socket(chrome).await?;
    chrome
        .until(
            "the kernel is idle",
            "return !!document.querySelector('.jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status=\"idle\"]') \
             && !/No Kernel/.test(document.querySelector('.jp-NotebookPanel-toolbar').innerText)",
            LAB,
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notebook_outlives_every_kill() -> Result<()> {
    let mut hub = hub().await?;
    let chrome = Chrome::start().await?;

    // Sign in, be welcomed, start.
    chrome.go(hub.link()).await?;
    chrome.element("#welcome_skip", PAGE).await?;
    chrome.picture("story-1-welcome").await?;
    chrome.click("#welcome_skip", PAGE).await?;
    eventually("JupyterLab opens", LAB, || async {
        let url = chrome.page.current_url().await.map_err(|e| e.to_string())?;
        // Skipping leads to the first notebook; a home page on the way has a button for it.
        if url.path() == "/hub/home" {
            let _ = chrome.click("#start", Duration::from_secs(1)).await;
        }
        if url.path().starts_with("/hub/spawn-pending") {
            let _ = chrome.picture("story-2-starting").await;
        }
        if url.path().contains("/lab") {
            Ok(())
        } else {
            Err(url.to_string())
        }
    })
    .await?;

    // Run a cell, see 42, save.
    new_notebook(&chrome).await?;
    run_cell(&chrome, "6*7", "42").await?;
    run_cell(&chrome, "x=41; x", "41").await?;
    chrome.picture("story-3-lab").await?;
    let save = format!("{}s{}", char::from(Key::Control), char::from(Key::Null));
    chrome
        .click(".jp-Notebook .jp-Cell:last-of-type .cm-content", PAGE)
        .await?;
    chrome.type_keys(&save).await?;
    // The first time it asks for a name.
    chrome.click(".jp-Dialog .jp-mod-accept", PAGE).await?;
    let container = hub
        .containers()
        .await?
        .into_iter()
        .next()
        .context("no container")?;
    eventually("the notebook is saved", PAGE, || async {
        match docker::exec(&container.name, &["sh", "-c", "cat /home/paws/*.ipynb"]).await {
            Ok(text) if text.contains("6*7") && text.contains("42") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;

    // kill -9 of the hub: the same websocket, the same kernel, no hub.
    let socket = kernel_socket(&chrome).await?;
    let before = hub.kill("hub")?;
    run_cell(&chrome, "x+1001", "1042").await?;
    let after = hub.replaced("hub", before).await?;
    ensure!(after != before);
    hub.ready(PAGE).await?;
    run_cell(&chrome, "x+2001", "2042").await?;
    no_kernel_socket_was_closed(&chrome, "after the hub's end").await?;
    ensure!(kernel_socket(&chrome).await? == socket);

    // kill -9 of the supervisor alone: the next one takes over.
    let (hub_pid, proxy_pid) = (hub.pid_of("hub")?, hub.pid_of("proxy")?);
    hub.kill_supervisor()?;
    run_cell(&chrome, "x+3001", "3042").await?;
    hub.up().await?;
    ensure!(
        hub.pid_of("proxy")? == proxy_pid,
        "the proxy was started again"
    );
    ensure!(hub.pid_of("hub")? == hub_pid, "the hub was started again");
    run_cell(&chrome, "x+4001", "4042").await?;
    no_kernel_socket_was_closed(&chrome, "after the supervisor's end").await?;

    // kill -9 of all three: JupyterLab connects again, and the variable is still there.
    hub.kill_supervisor()?;
    hub.kill("hub")?;
    hub.kill("proxy")?;
    hub.up().await?;
    eventually("JupyterLab connected again", LAB, || async {
        let sockets = chrome.sockets().await.map_err(|e| format!("{e:#}"))?;
        let kernels: Vec<_> = sockets
            .iter()
            .filter(|(url, _)| url.contains("/channels"))
            .collect();
        let open = kernels.iter().filter(|(_, closed)| !closed).count();
        if open > 0 && open < kernels.len() {
            Ok(())
        } else {
            Err(format!("{kernels:?}"))
        }
    })
    .await?;
    run_cell(&chrome, "x+5001", "5042").await?;
    chrome.picture("story-4-after-all-kills").await?;

    // Stop from the home page.
    chrome.go(&format!("{}/hub/home", hub.url())).await?;
    chrome.element("#stop", PAGE).await?;
    chrome.picture("story-5-home-running").await?;
    chrome.click("#stop", PAGE).await?;
    eventually("nothing runs", PAGE, || async {
        match hub.containers().await {
            Ok(containers) if containers.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    chrome.go(&format!("{}/hub/home", hub.url())).await?;
    chrome.element("#start", PAGE).await?;
    chrome.picture("story-6-home-stopped").await?;
    chrome.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_looked_at() -> Result<()> {
    let hub = hub().await?;
    hub.add_user("Ünï \"Cödé\" (WMF)'s").await?;
    let chrome = Chrome::start().await?;
    for (look, scheme, width, height) in [
        ("light", "light", 1280, 900),
        ("dark", "dark", 1280, 900),
        ("phone", "light", 390, 844),
    ] {
        chrome.look_like(scheme, width, height).await?;
        chrome.go(&format!("{}/hub/login", hub.url())).await?;
        chrome.element("#login_submit", PAGE).await?;
        chrome.picture(&format!("page-login-{look}")).await?;
    }
    chrome.go(hub.link()).await?;
    for (look, scheme, width, height) in [
        ("phone", "dark", 390, 844),
        ("dark", "dark", 1280, 900),
        ("light", "light", 1280, 900),
    ] {
        chrome.look_like(scheme, width, height).await?;
        for page in [
            "home",
            "admin",
            "welcome",
            "password",
            "spawn-pending/admin",
            "user/admin/lab",
            "error/404",
            "nothing-here",
        ] {
            chrome.go(&format!("{}/hub/{page}", hub.url())).await?;
            let wide = chrome
                .script("return document.documentElement.scrollWidth <= window.innerWidth")
                .await?;
            ensure!(wide == true, "/hub/{page} is wider than a {look}'s screen");
            let name = page.replace('/', "-");
            chrome.picture(&format!("page-{name}-{look}")).await?;
        }
    }
    chrome.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn jupyterlabs_hub_menu_leads_home() -> Result<()> {
    let hub = hub().await?;
    let person = Person::admin(&hub).await?;
    person.start("").await?;
    let page = person
        .open(&format!("{}lab", person.prefix("")))
        .await?
        .text()
        .await?;
    ensure!(
        page.contains("\"hubPrefix\": \"/hub/\"") || page.contains("\"hubPrefix\":\"/hub/\""),
        "no hub menu"
    );
    let out = person.open(&format!("{}logout", person.prefix(""))).await?;
    ensure!(
        out.url().path().starts_with("/hub/"),
        "sign-out ended at {}",
        out.url()
    );
    ensure!(person.who().await.is_err(), "still signed in");
    Ok(())
}
