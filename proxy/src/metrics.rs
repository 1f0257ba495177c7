//! Every metric of the proxy, and how they are shown.
//!
//! Labels are bounded: never a path, a user or a target.
//! What happens at every request is counted by each thread for itself, so that no two of them write to one place in memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

const REQUESTS: &str = "holt_proxy_requests_total";
const CONNECTIONS: &str = "holt_proxy_connections";
const WEBSOCKETS: &str = "holt_proxy_websockets";
const WAITING: &str = "holt_proxy_waiting_requests";
const GENERATION: &str = "holt_proxy_table_generation";
const ROUTES: &str = "holt_proxy_routes";
const FAILURES: &str = "holt_proxy_failures_total";

const LISTENERS: [&str; 2] = ["public", "internal"];
const WAYS: [&str; 3] = ["server", "hub", "none"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Statuses counted one by one.
const STATUSES: usize = 600;

/// Starts to count; a second call in one process changes nothing.
pub(crate) fn install() {
    static HANDLE: OnceLock<()> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _ = RENDER.set(recorder.handle());
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let _ = STARTED.set(since.map_or(0, |since| since.as_secs()));
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::debug!("Another recorder counts in this process");
        }
        metrics::describe_counter!(
            REQUESTS,
            "Requests answered, by listener, by where they led and by status class"
        );
        metrics::describe_gauge!(CONNECTIONS, "Open client connections");
        metrics::describe_gauge!(WEBSOCKETS, "Open websockets");
        metrics::describe_gauge!(WAITING, "Requests that wait for a server or a hub");
        metrics::describe_gauge!(GENERATION, "Generation of the route table in force");
        metrics::describe_gauge!(ROUTES, "Routes in the table");
        metrics::describe_counter!(
            FAILURES,
            "Requests answered by the proxy itself, by side and phase of the failure"
        );
    });
}

/// When counting began, in seconds since 1970.
static STARTED: OnceLock<u64> = OnceLock::new();
static RENDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// The text that Prometheus reads.
pub(crate) fn render() -> String {
    for (listener, ways) in LISTENERS.iter().zip(0..) {
        for (way, at) in WAYS.iter().zip(0..) {
            for (class, of) in CLASSES.iter().zip(0..) {
                let count = sum(|counts| &counts.requests[place(ways, at, of)]);
                if count > 0 {
                    metrics::counter!(REQUESTS, "listener" => *listener, "way" => *way, "class" => *class)
                        .absolute(count);
                }
            }
        }
    }
    RENDER
        .get()
        .map(PrometheusHandle::render)
        .unwrap_or_default()
}

/// What one thread counts. Only that thread writes; so a load and a store are enough.
#[derive(Debug)]
struct Counts {
    requests: [AtomicU64; LISTENERS.len() * WAYS.len() * CLASSES.len()],
    statuses: [AtomicU64; STATUSES],
    web: AtomicU64,
    websockets: AtomicU64,
    // Of every 64th look-up: how many, and how long they took together.
    timed: AtomicU64,
    lookup_ns: AtomicU64,
    // Moves of a route's last use, and how long they took together.
    uses: AtomicU64,
    uses_ns: AtomicU64,
}

static ALL: Mutex<Vec<Arc<Counts>>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: Arc<Counts> = {
        let counts = Arc::new(Counts {
            requests: [const { AtomicU64::new(0) }; _],
            statuses: [const { AtomicU64::new(0) }; _],
            web: AtomicU64::new(0),
            websockets: AtomicU64::new(0),
            timed: AtomicU64::new(0),
            lookup_ns: AtomicU64::new(0),
            uses: AtomicU64::new(0),
            uses_ns: AtomicU64::new(0),
        });
        // Counts of a thread that ended stay: a counter never goes back.
        ALL.lock().expect("no panic under this lock").push(Arc::clone(&counts));
        counts
    };
}

fn add(to: &AtomicU64) {
    to.store(to.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

fn sum(which: impl Fn(&Counts) -> &AtomicU64) -> u64 {
    let all = ALL.lock().expect("no panic under this lock");
    all.iter()
        .map(|counts| which(counts).load(Ordering::Relaxed))
        .sum()
}

fn place(listener: usize, way: usize, class: usize) -> usize {
    (listener * WAYS.len() + way) * CLASSES.len() + class
}

/// A request was answered.
pub(crate) fn request(listener: &'static str, way: &'static str, status: u16) {
    let find = |names: &[&str], name| names.iter().position(|known| *known == name).unwrap_or(0);
    let class = usize::from(status / 100).clamp(1, 5) - 1;
    let at = place(find(&LISTENERS, listener), find(&WAYS, way), class);
    OWN.with(|counts| {
        add(&counts.requests[at]);
        if let Some(counter) = counts.statuses.get(usize::from(status))
            && status != 101
        {
            add(counter);
        }
    });
}

/// A request was sent on its way.
pub(crate) fn carried(websocket: bool) {
    OWN.with(|counts| {
        add(if websocket {
            &counts.websockets
        } else {
            &counts.web
        })
    });
}

/// Begins to time a look-up, one in 64: a clock at each would cost more than the look-up.
pub(crate) fn time_lookup() -> Option<Instant> {
    OWN.with(|counts| {
        let count = counts.web.load(Ordering::Relaxed) + counts.websockets.load(Ordering::Relaxed);
        (count % 64 == 1).then(Instant::now)
    })
}

/// A look-up is over.
pub(crate) fn looked_up(began: Option<Instant>) {
    if let Some(began) = began {
        OWN.with(|counts| add_time(&counts.timed, &counts.lookup_ns, began));
    }
}

/// A route's last use was moved on.
pub(crate) fn use_moved(began: Instant) {
    OWN.with(|counts| add_time(&counts.uses, &counts.uses_ns, began));
}

fn add_time(count: &AtomicU64, sum: &AtomicU64, began: Instant) {
    add(count);
    let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(0);
    sum.store(sum.load(Ordering::Relaxed) + took, Ordering::Relaxed);
}

/// What configurable-http-proxy counts.
pub(crate) mod chp {
    /// When the process began to count, in seconds since 1970.
    pub(crate) fn started() -> Option<u64> {
        super::STARTED.get().copied()
    }

    /// Look-ups, and the seconds they took, reckoned from every 64th.
    pub(crate) fn lookups() -> (u64, f64) {
        let count = web() + ws();
        let (timed, took) = (
            super::sum(|counts| &counts.timed),
            super::sum(|counts| &counts.lookup_ns),
        );
        if timed == 0 {
            return (count, 0.0);
        }
        (count, seconds(took) / whole(timed) * whole(count))
    }

    /// Moves of a route's last use, and the seconds they took.
    pub(crate) fn uses() -> (u64, f64) {
        let took = super::sum(|counts| &counts.uses_ns);
        (super::sum(|counts| &counts.uses), seconds(took))
    }

    fn seconds(nanoseconds: u64) -> f64 {
        whole(nanoseconds) / 1e9
    }

    #[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
    fn whole(number: u64) -> f64 {
        number as f64
    }

    /// Requests sent on their way, websockets left out.
    pub(crate) fn web() -> u64 {
        super::sum(|counts| &counts.web)
    }

    /// Websockets that were asked for.
    pub(crate) fn ws() -> u64 {
        super::sum(|counts| &counts.websockets)
    }

    /// Answers by status, websockets left out.
    pub(crate) fn proxied() -> Vec<(u16, u64)> {
        (0_u16..)
            .zip(0..super::STATUSES)
            .map(|(status, at)| (status, super::sum(|counts| &counts.statuses[at])))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// The proxy had to answer by itself.
pub(crate) fn failure(side: &'static str, phase: &'static str) {
    metrics::counter!(FAILURES, "side" => side, "phase" => phase).increment(1);
}

/// A table is in force.
pub(crate) fn table(generation: u64, routes: usize) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!(GENERATION).set(generation as f64);
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!(ROUTES).set(routes as f64);
}

/// Something that is there as long as this lives.
#[derive(Debug)]
pub(crate) struct Present(&'static str);

impl Present {
    /// A client connection.
    pub(crate) fn connection() -> Self {
        Self::of(CONNECTIONS)
    }

    /// A websocket.
    pub(crate) fn websocket() -> Self {
        Self::of(WEBSOCKETS)
    }

    /// A waiting request.
    pub(crate) fn waiting() -> Self {
        Self::of(WAITING)
    }

    fn of(name: &'static str) -> Self {
        metrics::gauge!(name).increment(1.0);
        Present(name)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        metrics::gauge!(self.0).decrement(1.0);
    }
}
