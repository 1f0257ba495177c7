//! What configurable-http-proxy counts, by its names, and where it can be read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use rustix::process::{Resource, getrlimit};

use crate::metrics::chp as engine;

use super::serve::{Answer, Service, reason, text};

/// Linux tells times of a process in hundredths of a second, whatever the machine.
const TICKS: u64 = 100;

/// What is counted of the API.
#[derive(Debug, Default)]
pub(super) struct Counts {
    get: AtomicU64,
    add: AtomicU64,
    delete: AtomicU64,
    // Held for one addition.
    statuses: Mutex<BTreeMap<u16, u64>>,
}

impl Counts {
    /// The whole table was told.
    pub(super) fn route_get(&self) {
        self.get.fetch_add(1, Ordering::Relaxed);
    }

    /// A route was added.
    pub(super) fn route_add(&self) {
        self.add.fetch_add(1, Ordering::Relaxed);
    }

    /// A route was to be removed.
    pub(super) fn route_delete(&self) {
        self.delete.fetch_add(1, Ordering::Relaxed);
    }

    /// A call was answered.
    pub(super) fn api_request(&self, status: u16) {
        let mut statuses = self.statuses.lock().expect("no panic under this lock");
        *statuses.entry(status).or_default() += 1;
    }

    /// The text that Prometheus reads.
    fn render(&self) -> String {
        let mut page = Page(String::new());
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        page.counter("api_route_get", "Listings of all routes", read(&self.get));
        page.counter("api_route_add", "Routes added", read(&self.add));
        page.counter(
            "api_route_delete",
            "Calls to remove a route",
            read(&self.delete),
        );
        page.counter("requests_ws", "Websocket requests", engine::ws());
        page.counter(
            "requests_web",
            "Requests other than websockets",
            engine::web(),
        );
        let help = "Requests answered, by status";
        page.by_status("requests_proxy", help, engine::proxied());
        let statuses = self
            .statuses
            .lock()
            .expect("no panic under this lock")
            .clone();
        page.by_status("requests_api", "API calls answered, by status", statuses);
        let help = "Seconds taken to find where a request goes";
        page.summary("find_target_for_req", help, engine::lookups());
        let help = "Seconds taken to note when a route was used";
        page.summary("last_activity_updating", help, engine::uses());
        page.process();
        page.0
    }
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.head(name, help, "gauge");
            let _ = writeln!(self.0, "{name} {value}");
        }
    }

    fn summary(&mut self, name: &str, help: &str, (count, seconds): (u64, f64)) {
        self.head(name, help, "summary");
        let _ = writeln!(self.0, "{name}_sum {seconds}\n{name}_count {count}");
    }

    fn by_status(&mut self, name: &str, help: &str, counts: impl IntoIterator<Item = (u16, u64)>) {
        self.head(name, help, "counter");
        for (status, count) in counts {
            let _ = writeln!(self.0, "{name}{{status=\"{status}\"}} {count}");
        }
    }

    /// What the system knows of this process; what it does not tell is left out.
    fn process(&mut self) {
        if let Some((user, system)) = fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|stat| times(&stat))
        {
            for (kind, ticks) in [("user_", user), ("system_", system), ("", user + system)] {
                let name = format!("process_cpu_{kind}seconds_total");
                self.head(&name, "Seconds of processor time", "counter");
                let (whole, rest) = (ticks / TICKS, ticks % TICKS);
                let _ = writeln!(self.0, "{name} {whole}.{rest:02}");
            }
        }
        self.gauge(
            "process_start_time_seconds",
            "When it was started, in seconds since 1970",
            engine::started(),
        );
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = memory(&status, "VmRSS:");
        self.gauge("process_resident_memory_bytes", "Memory in use", resident);
        let virtual_memory = memory(&status, "VmSize:");
        self.gauge(
            "process_virtual_memory_bytes",
            "Memory mapped",
            virtual_memory,
        );
        let open = fs::read_dir("/proc/self/fd").ok();
        let open = open.and_then(|files| u64::try_from(files.count()).ok());
        self.gauge("process_open_fds", "Open files", open);
        let most = getrlimit(Resource::Nofile).current;
        self.gauge("process_max_fds", "Files that may be open", most);
    }
}

/// Ticks in user and system mode, after the name of the program, which may hold anything.
fn times(stat: &str) -> Option<(u64, u64)> {
    let (_, after) = stat.rsplit_once(") ")?;
    let mut fields = after.split(' ').skip(11);
    let mut next = || fields.next()?.parse().ok();
    Some((next()?, next()?))
}

fn memory(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Where it can be read: `/metrics`, without a token.
#[derive(Debug)]
pub(super) struct Shown(pub(super) Arc<Counts>);

impl Service for Shown {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        if request.uri().path() != "/metrics" {
            let status = StatusCode::NOT_FOUND;
            return text(status, reason(status));
        }
        let mut answer = text(StatusCode::OK, self.0.render());
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_one_that_prometheus_reads() {
        let counts = Counts::default();
        counts.route_get();
        counts.api_request(200);
        counts.api_request(200);
        let page = counts.render();
        assert!(page.contains("\napi_route_get 1\n"), "{page}");
        assert!(
            page.contains("\nrequests_api{status=\"200\"} 2\n"),
            "{page}"
        );
        assert!(page.contains("\nprocess_resident_memory_bytes "), "{page}");
        for line in page.lines() {
            let value = line.rsplit_once(' ').unwrap().1;
            assert!(
                line.starts_with("# ") || value.parse::<f64>().is_ok(),
                "{line}"
            );
        }
    }

    #[test]
    fn a_program_may_be_called_anything() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 1 0 0 0 12 34 0 0 20 0 1 0 5 0 0";
        assert_eq!(times(stat), Some((12, 34)));
    }
}
