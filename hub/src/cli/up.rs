//! `holt up`: from nothing to a link that signs in, and then everything kept running until told to end.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use holt_spec::control::{STATUS_PATH, Status};
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::roles::next_signal;
use super::terminal::Terminal;
use super::{Failure, Overrides, people};
use crate::config::{LogFormat, Settings};
use crate::engine::{self, Engine};
use crate::socket;
use crate::store::Store;
use crate::supervisor::lock::UpLock;
use crate::supervisor::process::End;
use crate::supervisor::{CommandLines, HUB, Output, Supervisor, Told};

/// How long both roles may take until they answer.
const READY: Duration = Duration::from_secs(90);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Time between two looks at the image that is being built.
const IMAGE_LOOK: Duration = Duration::from_millis(500);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Exit codes from which starting again does not help.
const HOPELESS: std::ops::RangeInclusive<i32> = 64..=78;

/// What `GET /hub/ready` says.
#[derive(Debug, Clone, Default, Deserialize)]
struct HubReady {
    ready: bool,
    #[serde(default)]
    reasons: Vec<String>,
    #[serde(default)]
    image: Option<ImageProgress>,
}

#[derive(Debug, Clone, Deserialize)]
struct ImageProgress {
    percent: Option<u8>,
    message: String,
}

pub(super) async fn run(overrides: Overrides) -> Result<(), Failure> {
    let settings = overrides.load()?;
    let terminal = Arc::new(Terminal::new());
    settings.data_dir.prepare()?;
    let _lock = UpLock::take(&settings.data_dir)?;
    terminal.say(format!(
        "Holt {}, data in {}",
        env!("CARGO_PKG_VERSION"),
        settings.data_dir.path().display()
    ));
    let store = Store::open(&settings.data_dir.database()).await?;
    match engine::choose(&settings, &store).await? {
        Engine::Docker { host } => terminal.say(format!("Notebooks run in Docker containers ({host})")),
        Engine::Process { reason } => terminal.say(format!(
            "{reason}: notebooks run as local processes without isolation, for one user, reachable from this machine only"
        )),
    }

    let output = Output::choose(settings.data_dir.log());
    let supervisor = tokio::select! {
        started = Supervisor::start(&settings, command_lines(&overrides, &settings), output.clone()) => started?,
        () = next_signal() => return Ok(()),
    };
    for note in &supervisor.notes {
        terminal.say(note);
    }
    let url = settings.public_url_at(supervisor.listen);
    Up {
        settings,
        store,
        terminal,
        output,
        supervisor,
        url,
    }
    .serve()
    .await
}

struct Up {
    settings: Settings,
    store: Store,
    terminal: Arc<Terminal>,
    output: Output,
    supervisor: Supervisor,
    url: String,
}

impl Up {
    async fn serve(mut self) -> Result<(), Failure> {
        let became_ready = tokio::select! {
            outcome = self.become_ready() => outcome,
            () = next_signal() => return self.finish().await,
        };
        if let Err(failure) = became_ready {
            self.terminal.done();
            return self.give_up(failure).await;
        }
        if let Err(failure) = self.announce().await {
            return self.give_up(failure).await;
        }
        let image = TaskTracker::new();
        let stop = self.supervisor.hurry();
        image.spawn(follow_image(
            self.settings.data_dir.hub_socket(),
            Arc::clone(&self.terminal),
            stop.child_token(),
        ));
        loop {
            tokio::select! {
                told = self.supervisor.next() => self.tell(&told),
                () = next_signal() => break,
            }
        }
        self.terminal.done();
        self.finish().await
    }

    /// Waits until the proxy and the hub answer, and a request goes all the way.
    async fn become_ready(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + READY;
        let data_dir = self.settings.data_dir.clone();
        let (proxy, hub) = (data_dir.proxy_socket(), data_dir.hub_socket());
        let mut last = "the proxy did not answer".to_owned();
        self.terminal.progress(None, "Starting");
        loop {
            if socket::ask::<Status>(&proxy, STATUS_PATH, ANSWER)
                .await
                .is_ok()
            {
                match socket::ask::<HubReady>(&hub, "/hub/ready", ANSWER).await {
                    Ok(answer) if answer.ready => {
                        if socket::answers(self.supervisor.listen, "/hub/health", ANSWER).await {
                            self.terminal.done();
                            return Ok(());
                        }
                        last = "the proxy does not reach the hub yet".to_owned();
                    }
                    Ok(answer) => {
                        last = format!("the hub is not ready: {}", answer.reasons.join("; "))
                    }
                    Err(_) => last = "the hub did not answer".to_owned(),
                }
                self.terminal.progress(None, &format!("Starting: {last}"));
            }
            if Instant::now() > deadline {
                return Err(Failure::unavailable(format!(
                    "it took longer than {} s: {last}{}",
                    READY.as_secs(),
                    self.last_lines(HUB)
                )));
            }
            tokio::select! {
                told = self.supervisor.next() => self.judge(told)?,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// While nothing was ready yet: an end that starting again does not mend ends `up` too.
    fn judge(&self, told: Told) -> Result<(), Failure> {
        match told {
            Told::Ended {
                role,
                end: End::Code(code),
                ..
            } if HOPELESS.contains(&code) => {
                let code = u8::try_from(code).unwrap_or(70);
                let lines = self.last_lines(role);
                Err(Failure {
                    code,
                    message: format!("the {role} could not start (code {code}){lines}"),
                })
            }
            Told::Started { .. } => Ok(()),
            other => {
                self.tell(&other);
                Ok(())
            }
        }
    }

    /// Prints the link, alone on its line of standard output.
    async fn announce(&self) -> Result<(), Failure> {
        match people::first_link(&self.store, &self.url).await? {
            Some(link) => {
                self.terminal.say(format!(
                    "Holt is ready at {}. Open this link to sign in; it works once, for {}:",
                    self.url,
                    people::LINK_LIFE_WORDS
                ));
                self.terminal.link(&link);
            }
            None => {
                self.terminal.say("Holt is ready at");
                self.terminal.link(&self.url);
            }
        }
        self.terminal
            .say("Ctrl-C ends Holt; notebook servers go on running.");
        Ok(())
    }

    fn tell(&self, told: &Told) {
        self.terminal.say(match told {
            Told::Started { role, pid } => format!("The {role} was started again (pid {pid})"),
            Told::Ended { role, pid, end } => {
                format!("The {role} (pid {pid}) {end}; starting it again")
            }
            Told::NotStarted { role, reason } => format!("The {role} cannot be started: {reason}"),
        });
    }

    async fn give_up(self, failure: Failure) -> Result<(), Failure> {
        if self.supervisor.found_proxy {
            self.terminal
                .say("The proxy that was running is left alone, so open notebooks go on.");
            self.supervisor.finish_hub_only().await;
        } else {
            self.supervisor.finish().await;
        }
        Err(failure)
    }

    async fn finish(self) -> Result<(), Failure> {
        self.terminal.done();
        self.terminal.say("Ending. Once more to hurry.");
        let hurry = self.supervisor.hurry();
        let finish = self.supervisor.finish();
        tokio::pin!(finish);
        tokio::select! {
            () = &mut finish => {}
            () = next_signal() => {
                hurry.cancel();
                finish.await;
            }
        }
        self.terminal
            .say("Notebook servers go on running; `holt down` stops them.");
        Ok(())
    }

    /// The end of a role's log, when it is in a file.
    fn last_lines(&self, role: &str) -> String {
        let Some(text) = self
            .output
            .file(role)
            .and_then(|path| std::fs::read_to_string(path).ok())
        else {
            return String::new();
        };
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(5)..];
        if last.is_empty() {
            String::new()
        } else {
            format!("\n{}", last.join("\n"))
        }
    }
}

/// How the roles are started: as we were, with what only we know.
fn command_lines(overrides: &Overrides, settings: &Settings) -> CommandLines {
    let data_dir = &settings.data_dir;
    let mut hub: Vec<OsString> = vec!["hub".into(), "--data-dir".into(), data_dir.path().into()];
    if let Some(file) = &settings.file {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        hub.extend(["--config".into(), file.into()]);
    }
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
    for network in &settings.proxy.trusted_proxies {
        proxy.extend(["--trusted-proxies".into(), network.to_string().into()]);
    }
    CommandLines { hub, proxy }
}

/// Shows how the image is coming along, as long as it is being built.
async fn follow_image(
    hub: std::path::PathBuf,
    terminal: Arc<Terminal>,
    stop: tokio_util::sync::CancellationToken,
) {
    let mut seen = false;
    loop {
        match socket::ask::<HubReady>(&hub, "/hub/ready", ANSWER).await {
            Ok(HubReady {
                image: Some(image), ..
            }) => {
                if !seen {
                    terminal.say("The image of the notebook servers is being built; you can sign in meanwhile.");
                    seen = true;
                }
                terminal.progress(image.percent, &image.message);
            }
            Ok(_) => {
                terminal.done();
                if seen {
                    terminal.say("The image of the notebook servers is ready.");
                }
                return;
            }
            // The hub is being started again.
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(IMAGE_LOOK) => {}
            () = stop.cancelled() => return,
        }
    }
}
