//! `holt up`: from nothing to a link that signs in, and then everything kept running until told to end.

mod image;
mod lines;
mod mounts;

use std::sync::Arc;
use std::time::Duration;

use holt_spec::control::{STATUS_PATH, Status};
use tokio::time::Instant;

use self::image::HubReady;
use super::signals::Signals;
use super::terminal::Terminal;
use super::{Failure, Overrides, people, tools};
use crate::config::{Isolation, Settings};
use crate::engine::{self, Engine};
use crate::socket;
use crate::spawner::WayResult;
use crate::store::Store;
use crate::supervisor::lock::UpLock;
use crate::supervisor::process::End;
use crate::supervisor::{HUB, NODE, Output, Supervisor, Told};

/// How long both roles may take until they answer.
const READY: Duration = Duration::from_secs(90);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Exit codes from which starting again does not help.
const HOPELESS: std::ops::RangeInclusive<i32> = 64..=78;

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
    let signals = Signals::listen()?;
    let output = Output::choose(settings.data_dir.log());
    let (store, supervisor) = tokio::select! {
        begun = begin(&overrides, &settings, &terminal, output.clone()) => begun?,
        () = signals.first() => return Ok(()),
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
        signals,
        url,
    }
    .serve()
    .await
}

/// Chooses how servers are made, sees to it that they are shut in, and starts the roles.
async fn begin(
    overrides: &Overrides,
    settings: &Settings,
    terminal: &Terminal,
    output: Output,
) -> Result<(Store, Supervisor), Failure> {
    let store = Store::open(&settings.data_dir.database()).await?;
    let engine = engine::choose(settings, &store).await?;
    match &engine {
        Engine::Docker { host } => terminal.say(format!("Notebooks run in Docker containers ({host})")),
        Engine::Process { reason } => terminal.say(format!(
            "{reason}: notebooks run as local processes without isolation, for one user, reachable from this machine only"
        )),
    }
    let missing = tools::missing(&engine).await;
    for tool in &missing {
        terminal.say(tool.sentence);
    }
    if missing.iter().any(|tool| tool.needed) {
        return Err(Failure::unavailable(
            "install what is missing, then run `holt up` again",
        ));
    }
    if settings.is_open_to_others() && matches!(engine, Engine::Docker { .. }) {
        require_isolation(settings, terminal).await?;
    }
    let keeps_mounts = mounts::look(settings, terminal);
    let lines = lines::command_lines(overrides, settings, keeps_mounts);
    let supervisor = Supervisor::start(settings, lines, output).await?;
    mounts::take_left_away(settings, terminal).await;
    Ok((store, supervisor))
}

/// Before others can come in, every forbidden way out of a server is tried.
async fn require_isolation(settings: &Settings, terminal: &Terminal) -> Result<(), Failure> {
    terminal.progress(None, "Trying what a notebook server can reach");
    let report = crate::hub::try_isolation(settings).await;
    terminal.done();
    let tried = report.map_err(|error| {
        Failure::unavailable(format!(
            "the isolation of servers cannot be tried: {error:#}"
        ))
    })?;
    let Some(report) = tried.report else {
        return Ok(());
    };
    for way in report
        .ways
        .iter()
        .filter(|way| way.result != WayResult::Good)
    {
        let result = match way.result {
            WayResult::Good => "is as it should be",
            WayResult::Bad => "is not as it should be",
            WayResult::Unproven => "could not be proven closed",
        };
        terminal.say(format!(
            "Isolation: {} {result}. {}",
            way.way,
            way.fix.as_deref().unwrap_or_default()
        ));
    }
    if report.is_strong() || settings.docker.isolation == Isolation::AcceptWeak {
        return Ok(());
    }
    Err(Failure::unavailable(format!(
        "{} is open to other machines, but notebook servers are not shut in. Mend the above, listen on 127.0.0.1, or set docker.isolation = \"accept-weak\"",
        settings.proxy.listen
    )))
}

struct Up {
    settings: Settings,
    store: Store,
    terminal: Arc<Terminal>,
    output: Output,
    supervisor: Supervisor,
    signals: Signals,
    url: String,
}

impl Up {
    async fn serve(mut self) -> Result<(), Failure> {
        let signals = self.signals.clone();
        let became_ready = tokio::select! {
            outcome = self.become_ready() => outcome,
            () = signals.first() => return self.finish().await,
        };
        if let Err(failure) = became_ready {
            self.terminal.done();
            return self.give_up(failure).await;
        }
        if let Err(failure) = self.announce().await {
            return self.give_up(failure).await;
        }
        let image = image::follow(
            self.settings.data_dir.hub_socket(),
            Arc::clone(&self.terminal),
        );
        tokio::pin!(image);
        let mut image_done = false;
        loop {
            tokio::select! {
                told = self.supervisor.next() => self.tell(&told),
                () = &mut image, if !image_done => image_done = true,
                () = signals.first() => break,
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
            } if HOPELESS.contains(&code) && role != NODE => {
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
        people::keep_public_url(&self.store, &self.url).await?;
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
        let signals = self.signals;
        let finish = self.supervisor.finish();
        tokio::pin!(finish);
        tokio::select! {
            () = &mut finish => {}
            () = signals.second() => {
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
