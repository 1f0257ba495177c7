//! The log as configurable-http-proxy writes it: standard output, a moment, a name, a level, a sentence.
//!
//! What this room says in that program's own words goes to [`TARGET`]; all else of the proxy is written the same way,
//! its fields after the sentence.

use std::fmt::{self, Write as _};
use std::io::IsTerminal;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::routes;
use super::time::write_moment;

/// What is said in the words of configurable-http-proxy.
pub(super) const TARGET: &str = crate::http::STAND_IN_LOG;

/// Reads a level by the names of configurable-http-proxy and of Python.
pub(super) fn level(text: &str) -> Option<LevelFilter> {
    Some(match text.to_ascii_lowercase().as_str() {
        "error" | "critical" => LevelFilter::ERROR,
        "warn" | "warning" => LevelFilter::WARN,
        "info" | "" => LevelFilter::INFO,
        "http" | "verbose" | "debug" => LevelFilter::DEBUG,
        "silly" | "trace" => LevelFilter::TRACE,
        _ => return None,
    })
}

/// Starts to log. Whoever set up a log in this process before keeps it.
pub(super) fn start(level: LevelFilter) {
    let ours = Targets::new()
        .with_target(TARGET, level)
        .with_target("holt_proxy", level)
        .with_default(level.min(LevelFilter::WARN));
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // A closed standard output must not end the proxy.
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Lines { colour })
        .log_internal_errors(false);
    let started = tracing_subscriber::registry()
        .with(lines)
        .with(ours)
        .try_init();
    if started.is_err() {
        tracing::debug!("The log was set up before");
    }
}

struct Lines {
    colour: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let level = *event.metadata().level();
        writeln!(writer, "{}", line(routes::now(), level, &said, self.colour))
    }
}

fn line(ms: u64, level: Level, said: &Said, colour: bool) -> String {
    let mut line = String::new();
    write_moment(&mut line, ms);
    let (name, code) = match level {
        Level::ERROR => ("error", 31),
        Level::WARN => ("warn", 33),
        Level::INFO => ("info", 32),
        Level::DEBUG => ("debug", 34),
        Level::TRACE => ("silly", 35),
    };
    let _ = match colour {
        true => write!(line, " [ConfigProxy] \u{1b}[{code}m{name}\u{1b}[39m: "),
        false => write!(line, " [ConfigProxy] {name}: "),
    };
    push_escaped(&mut line, &said.message);
    push_escaped(&mut line, &said.fields);
    line
}

/// A line stays one line, whatever stands in it.
fn push_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}

#[derive(Debug, Default)]
struct Said {
    message: String,
    fields: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(message: &str) -> Said {
        Said {
            message: message.to_owned(),
            fields: String::new(),
        }
    }

    #[test]
    fn a_line_is_a_moment_a_name_a_level_and_a_sentence() {
        let plain = line(0, Level::INFO, &said("Route added / -> http://x"), false);
        assert_eq!(
            plain,
            "1970-01-01T00:00:00.000Z [ConfigProxy] info: Route added / -> http://x"
        );
        let coloured = line(0, Level::WARN, &said("Terminated"), true);
        assert!(coloured.ends_with("\u{1b}[33mwarn\u{1b}[39m: Terminated"));
    }

    #[test]
    fn nobody_writes_a_line_of_their_own() {
        let line = line(0, Level::INFO, &said("a\r\nb\u{1b}[2J\u{85}"), false);
        assert!(line.ends_with(r"a\r\nb\u{1b}[2J\u{85}"), "{line}");
    }

    #[test]
    fn levels_have_the_names_of_two_languages() {
        assert_eq!(level("INFO"), Some(LevelFilter::INFO));
        assert_eq!(level("warning"), Some(LevelFilter::WARN));
        assert_eq!(level("foo"), None);
    }
}
