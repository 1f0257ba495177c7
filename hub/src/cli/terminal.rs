//! What the person at `holt up` reads: sentences and progress on standard error, the link alone on standard output.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Standard error as a page: lines that stay, and one line of progress that moves when it is a terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    is_terminal: bool,
    bar: Mutex<Option<ProgressBar>>,
    /// The last progress that was printed as a plain line.
    printed: Mutex<String>,
}

impl Terminal {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            bar: Mutex::new(None),
            printed: Mutex::new(String::new()),
        }
    }

    /// A line that stays.
    pub(super) fn say(&self, line: impl AsRef<str>) {
        let write = || {
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "{}", line.as_ref());
        };
        match self
            .bar
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .as_ref()
        {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// The link, alone on its line, for people and programs alike.
    pub(super) fn link(&self, url: &str) {
        let write = || {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{url}").and_then(|()| out.flush());
        };
        match self
            .bar
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .as_ref()
        {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// What is going on, with how much of it is done.
    pub(super) fn progress(&self, percent: Option<u8>, message: &str) {
        if !self.is_terminal {
            return self.progress_line(percent, message);
        }
        let mut slot = self
            .bar
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let bar = slot.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let template = match percent {
            Some(_) => "{spinner} {msg} [{bar:30}] {pos}%",
            None => "{spinner} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_position(percent.unwrap_or_default().into());
        bar.set_message(message.to_owned());
    }

    /// A plain line for each new message and each tenth.
    fn progress_line(&self, percent: Option<u8>, message: &str) {
        let tenth = percent.map(|percent| percent / 10 * 10);
        let line = match tenth {
            Some(tenth) => format!("{message} ({tenth}%)"),
            None => message.to_owned(),
        };
        let mut printed = self
            .printed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if *printed != line {
            let _ = writeln!(std::io::stderr(), "{line}");
            *printed = line;
        }
    }

    /// Takes the line of progress away.
    pub(super) fn done(&self) {
        if let Some(bar) = self
            .bar
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take()
        {
            bar.finish_and_clear();
        }
    }
}
