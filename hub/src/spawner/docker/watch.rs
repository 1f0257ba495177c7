//! What the engine tells by itself: its event stream, kept up for ever, and memory use, sampled.
//!
//! One task listens for all who ask by [`Watch::events`]; what happened between a look and the stream's first word is asked for
//! again (`since`), so that nothing falls between.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptionsBuilder, StatsOptionsBuilder};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{broadcast, watch};
use tokio_stream::wrappers::BroadcastStream;

use super::Shared;
use super::names::{LABEL_HUB, LABEL_LAUNCH};
use crate::spawner::{Event, LaunchId, Seen, Usage};

/// Events a slow listener may be behind before it is told to list anew.
const BACKLOG: usize = 1024;
/// First and longest pause between tries to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// How far back the first stream looks for containers that ran out of memory while no hub listened.
const LOOK_BACK: i64 = 3600;

/// What was heard and measured.
pub(crate) struct Watch {
    events: broadcast::Sender<Event>,
    is_connected: watch::Sender<bool>,
    // Plain mutexes around maps; nothing is awaited while one is held.
    out_of_memory: Mutex<HashMap<LaunchId, i64>>,
    usage: Mutex<HashMap<LaunchId, Usage>>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            events: broadcast::Sender::new(BACKLOG),
            is_connected: watch::Sender::new(false),
            out_of_memory: Mutex::default(),
            usage: Mutex::default(),
        }
    }

    /// Whether the launch hit its memory limit, as the engine told.
    pub(crate) fn ran_out_of_memory(&self, launch: &LaunchId) -> bool {
        let noted = self
            .out_of_memory
            .lock()
            .expect("nothing panics while it is held");
        noted.contains_key(launch)
    }

    /// Peak use so far.
    pub(crate) fn usage(&self, launch: &LaunchId) -> Usage {
        let usage = self.usage.lock().expect("nothing panics while it is held");
        usage.get(launch).copied().unwrap_or_default()
    }

    /// Forgets a launch that is gone.
    pub(crate) fn forget(&self, launch: &LaunchId) {
        self.out_of_memory
            .lock()
            .expect("nothing panics while it is held")
            .remove(launch);
        self.usage
            .lock()
            .expect("nothing panics while it is held")
            .remove(launch);
    }

    /// All events from now on; the first says how things stand.
    pub(crate) fn events(&self) -> BoxStream<'static, Event> {
        let following = BroadcastStream::new(self.events.subscribe());
        let first = match *self.is_connected.borrow() {
            true => Event::Connected,
            false => Event::Disconnected,
        };
        // Events were dropped for a slow listener: to it that is a new connection.
        let following = following.map(|event| event.unwrap_or(Event::Connected));
        futures_util::stream::once(async move { first })
            .chain(following)
            .boxed()
    }

    fn tell(&self, event: Event) {
        // Nobody listening is lawful.
        let _listeners = self.events.send(event);
    }

    fn note_out_of_memory(&self, launch: &LaunchId, at: i64) {
        let mut noted = self
            .out_of_memory
            .lock()
            .expect("nothing panics while it is held");
        noted.insert(launch.clone(), at);
    }

    fn note_usage(&self, launch: &LaunchId, used: Option<u64>, limit: Option<u64>) {
        let mut usage = self.usage.lock().expect("nothing panics while it is held");
        let entry = usage.entry(launch.clone()).or_default();
        entry.memory_peak = entry.memory_peak.max(used);
        entry.memory_limit = limit.or(entry.memory_limit);
    }
}

/// Listens until the stop token fires.
pub(super) async fn listen(shared: Arc<Shared>) {
    let mut pause = PAUSES.0;
    let mut since = None;
    loop {
        let lasted = tokio::select! {
            () = shared.stop.cancelled() => return,
            lasted = listen_once(&shared, &mut since) => lasted,
        };
        if shared.watch.is_connected.send_replace(false) {
            shared.watch.tell(Event::Disconnected);
        }
        pause = if lasted {
            PAUSES.0
        } else {
            (pause * 2).min(PAUSES.1)
        };
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One connection; true when there was one.
async fn listen_once(shared: &Shared, since: &mut Option<i64>) -> bool {
    let Ok(info) = shared
        .engine
        .call(|docker| async move { docker.info().await })
        .await
    else {
        return false;
    };
    let now = info
        .system_time
        .and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok())
        .unwrap_or_else(OffsetDateTime::now_utc)
        .unix_timestamp();
    let filters = HashMap::from([
        ("type", vec!["container".to_owned()]),
        ("label", vec![format!("{LABEL_HUB}={}", shared.names.hub)]),
        (
            "event",
            ["create", "start", "die", "oom", "destroy"]
                .map(str::to_owned)
                .to_vec(),
        ),
    ]);
    let options = EventsOptionsBuilder::new()
        .since(&since.unwrap_or(now - LOOK_BACK).to_string())
        .filters(&filters)
        .build();
    let Ok(client) = shared.engine.client() else {
        return false;
    };
    let mut stream = std::pin::pin!(client.events(Some(options)));
    shared.watch.is_connected.send_replace(true);
    shared.watch.tell(Event::Connected);
    *since = Some(now - 1);
    while let Some(Ok(message)) = stream.next().await {
        hear(shared, &message, now);
        *since = message.time.or(*since);
    }
    true
}

/// Passes one message on. What is older than the connection only adds to what is known.
fn hear(shared: &Shared, message: &EventMessage, connected_at: i64) {
    let labels = message
        .actor
        .as_ref()
        .and_then(|actor| actor.attributes.as_ref());
    let Some(launch) = labels.and_then(|labels| labels.get(LABEL_LAUNCH)) else {
        return;
    };
    let launch = LaunchId(launch.clone());
    let at = message.time.unwrap_or(connected_at);
    let is_news = at >= connected_at - 1;
    match message.action.as_deref() {
        Some("oom") => {
            shared.watch.note_out_of_memory(&launch, at);
            if is_news {
                shared.watch.tell(Event::OutOfMemory(launch));
            }
        }
        Some("destroy") => {
            shared.watch.forget(&launch);
            shared.watch.tell(Event::Changed(launch));
        }
        _ if is_news => shared.watch.tell(Event::Changed(launch)),
        _ => {}
    }
}

/// Looks at the memory use of what runs, until the stop token fires.
pub(super) async fn sample(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(shared.settings.sample_every) => {}
        }
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = sample_all(&shared) => {}
        }
    }
}

async fn sample_all(shared: &Shared) {
    // An engine that is away is the listener's news, not ours.
    let Ok(all) = shared.list_launches().await else {
        return;
    };
    let running = all
        .into_iter()
        .filter(|found| matches!(found.seen, Seen::Running { .. }));
    futures_util::stream::iter(running)
        .for_each_concurrent(4, |found| async move {
            shared.sample_one(&found.launch).await;
        })
        .await;
}

impl Shared {
    /// One look at one launch's memory.
    pub(super) async fn sample_one(&self, launch: &LaunchId) {
        let name = self.names.container(launch);
        let options = StatsOptionsBuilder::new()
            .stream(false)
            .one_shot(true)
            .build();
        let answer = self
            .engine
            .call(|docker| async move { Ok(docker.stats(&name, Some(options)).next().await) })
            .await;
        let Ok(Some(Ok(stats))) = answer else {
            return;
        };
        let Some(memory) = stats.memory_stats else {
            return;
        };
        // Pages the kernel can drop at once are not use.
        let cache = memory.stats.as_ref().map_or(0, |stats| {
            let inactive = stats
                .get("total_inactive_file")
                .or_else(|| stats.get("inactive_file"));
            inactive.copied().unwrap_or(0)
        });
        let used = memory.usage.map(|usage| usage.saturating_sub(cache));
        self.watch.note_usage(launch, used, memory.limit);
    }
}
