//! How far a download is: a line that moves where somebody sits, plain lines elsewhere.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::dumps::Progress;

/// The least between two plain lines of a file, which else come at each tenth.
const STEP: u64 = 1 << 20;
/// A plain line comes at least this often while bytes come.
const QUIET: Duration = Duration::from_secs(30);

/// Standard error, as a page with one line that moves, or as plain lines.
pub(super) struct Bar {
    shown: Mutex<Shown>,
}

struct Shown {
    bar: ProgressBar,
    plain: Option<Plain>,
}

/// What plain lines say, and when: pure.
struct Plain {
    size: u64,
    told: u64,
    when: Instant,
}

impl Plain {
    fn new(size: u64, now: Instant) -> Self {
        Self {
            size,
            told: 0,
            when: now,
        }
    }

    /// The line that is due with so many bytes there.
    fn line(&mut self, bytes: u64, now: Instant) -> Option<String> {
        // It began anew.
        self.told = self.told.min(bytes);
        let is_further = bytes - self.told >= (self.size / 10).max(STEP);
        let is_long_ago = bytes > self.told && now.saturating_duration_since(self.when) >= QUIET;
        if !is_further && !is_long_ago {
            return None;
        }
        self.told = bytes;
        self.when = now;
        let percent = u128::from(bytes) * 100 / u128::from(self.size.max(1));
        Some(format!(
            "  {} of {} ({percent}%)",
            HumanBytes(bytes),
            HumanBytes(self.size)
        ))
    }
}

impl Bar {
    /// Nothing is under way.
    pub(super) fn new() -> Self {
        Self {
            shown: Mutex::new(Shown {
                bar: ProgressBar::hidden(),
                plain: None,
            }),
        }
    }

    /// A line that stays.
    pub(super) fn line(&self, line: &str) {
        let bar = self.shown().bar.clone();
        bar.suspend(|| {
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "{line}");
        });
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Bar {
    fn begin(&self, name: &str, size: u64) {
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
        let template =
            "{wide_msg} [{bar:24}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(name.to_owned());
        let is_hidden = bar.is_hidden();
        let plain = is_hidden.then(|| Plain::new(size, Instant::now()));
        if !is_hidden {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        let before = std::mem::replace(&mut *self.shown(), Shown { bar, plain });
        before.bar.finish_and_clear();
        if is_hidden {
            self.line(&format!("{name}, {}", HumanBytes(size)));
        }
    }

    fn at(&self, bytes: u64) {
        let line = {
            let mut shown = self.shown();
            shown.bar.set_position(bytes);
            let plain = shown.plain.as_mut();
            plain.and_then(|plain| plain.line(bytes, Instant::now()))
        };
        if let Some(line) = line {
            self.line(&line);
        }
    }

    fn end(&self) {
        self.shown().bar.finish_and_clear();
    }

    fn say(&self, line: &str) {
        self.line(&format!("  {line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_come_at_tenths_and_not_for_small_change() {
        let begun = Instant::now();
        let mut plain = Plain::new(100 << 20, begun);
        assert_eq!(plain.line(9 << 20, begun), None);
        let line = plain.line(10 << 20, begun);
        assert_eq!(line.as_deref(), Some("  10.00 MiB of 100.00 MiB (10%)"));
        assert_eq!(plain.line(11 << 20, begun), None);
        // A slow one tells that it lives, one that stands still does not.
        let later = begun + QUIET;
        assert!(plain.line(12 << 20, later).is_some());
        assert_eq!(plain.line(12 << 20, later + QUIET), None);
        // From the beginning again.
        assert_eq!(plain.line(0, later), None);
        assert!(plain.line(10 << 20, later).is_some());
        // A small file has a name and no more.
        let mut plain = Plain::new(300_000, begun);
        assert_eq!(plain.line(300_000, begun), None);
        assert_eq!(Plain::new(0, begun).line(0, begun), None);
    }
}
