//! The connected clients: what each of them runs, and how it is told to stop.
//!
//! A session is told by a number and a waker, so that one that rests costs nothing.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use holt_spec::replicas::Statement;
use tokio::sync::Notify;

use super::grants::Granted;
pub(crate) use super::order::Order;

/// The most of a statement's text that is kept to be looked at.
const TEXT: usize = 1000;
/// Who was told to end has so long to do so.
const ENDING: Duration = Duration::from_millis(1500);

/// A statement that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: u64,
    pub(crate) text: String,
    pub(crate) began: Instant,
    pub(crate) limit: Duration,
    pub(crate) section: Arc<str>,
    pub(crate) database: Arc<str>,
}

/// A connected client.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: u32,
    pub(crate) granted: Arc<Granted>,
    // Held for a moment, never across a wait.
    running: Mutex<Option<Running>>,
    order: AtomicU8,
    waker: AtomicWaker,
    /// It holds what would be lost elsewhere.
    is_pinned: AtomicBool,
    /// Somebody waits for its user's account.
    is_asked_back: AtomicBool,
    pub(crate) bytes: AtomicU64,
    pub(crate) rows: AtomicU64,
    /// Milliseconds since the sessions began to be counted, of the last statement's end.
    rested: AtomicU64,
}

impl Session {
    /// Ready with what it is told; the task is woken when it is told something.
    pub(crate) fn poll_order(&self, cx: &mut Context<'_>) -> Poll<Order> {
        self.waker.register(cx.waker());
        match self.order() {
            Some(order) => Poll::Ready(order),
            None => Poll::Pending,
        }
    }

    /// Ready when it was told to end and did not in time.
    pub(crate) async fn outstayed(&self) {
        poll_fn(|cx| match self.poll_order(cx) {
            Poll::Ready(order) if order.ends() => Poll::Ready(()),
            _ => Poll::Pending,
        })
        .await;
        tokio::time::sleep(ENDING).await;
    }

    /// What it is told now.
    pub(crate) fn order(&self) -> Option<Order> {
        Order::from(self.order.load(Ordering::Acquire))
    }

    fn tell(&self, order: Order) {
        let told = self
            .order
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                // An end is not taken back by a smaller wish.
                match Order::from(now) {
                    Some(now) if now.ends() => None,
                    _ => Some(order as u8),
                }
            });
        if told.is_ok() {
            self.waker.wake();
        }
    }

    /// Says whether it holds what would be lost elsewhere.
    pub(crate) fn pin(&self, is_pinned: bool) {
        self.is_pinned.store(is_pinned, Ordering::Relaxed);
    }

    /// Whether somebody waits for its account; asked once.
    pub(crate) fn take_asked_back(&self) -> bool {
        self.is_asked_back.load(Ordering::Relaxed)
            && self.is_asked_back.swap(false, Ordering::AcqRel)
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().expect("no panic under this lock")
    }

    /// A statement begins.
    pub(crate) fn begin(&self, running: Running) {
        self.bytes.store(0, Ordering::Relaxed);
        self.rows.store(0, Ordering::Relaxed);
        *self.running() = Some(running);
    }

    /// It is over; a wish to stop it is forgotten. Returns what it was, and whether it was told to stop.
    pub(crate) fn finish(&self) -> (Option<Running>, Option<Order>) {
        let mut running = self.running();
        let order = self.order();
        if order.is_some_and(|order| !order.ends()) {
            self.order.store(0, Ordering::Release);
        }
        (running.take(), order)
    }

    /// Stops the statement of this number, if it still runs.
    fn stop(&self, order: Order, is_it: impl Fn(&Running) -> bool) -> bool {
        let running = self.running();
        let found = running.as_ref().is_some_and(is_it);
        if found {
            self.tell(order);
        }
        found
    }
}

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    began: Instant,
    // Held for a look-up or a walk over all, never across a wait.
    all: Mutex<HashMap<u32, Arc<Session>>>,
    next: AtomicU64,
    statements: AtomicU64,
    left: Notify,
}

/// What the connections of a user are at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    /// For how long the oldest statement has been running; none runs nothing.
    pub(crate) longest: Option<Duration>,
    /// Whether one holds what would be lost elsewhere.
    pub(crate) is_pinned: bool,
    /// For how long the one has rested that began last.
    pub(crate) rested: Duration,
}

/// A session as long as it is there.
#[derive(Debug)]
pub(crate) struct Place {
    sessions: Arc<Sessions>,
    pub(crate) session: Arc<Session>,
}

impl Sessions {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            all: Mutex::default(),
            next: AtomicU64::new(1),
            statements: AtomicU64::new(1),
            left: Notify::new(),
        })
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<Session>>> {
        self.all.lock().expect("no panic under this lock")
    }

    /// A number for a connection, never that of one that is there.
    pub(crate) fn number(&self) -> u32 {
        loop {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let number = u32::try_from(next % u64::from(u32::MAX))
                .unwrap_or(1)
                .max(1);
            if !self.all().contains_key(&number) {
                return number;
            }
        }
    }

    /// A number for a statement, never used again.
    pub(crate) fn statement(&self) -> u64 {
        self.statements.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes in a client that said who it is.
    pub(crate) fn enter(self: &Arc<Self>, id: u32, granted: Arc<Granted>) -> Place {
        let session = Arc::new(Session {
            id,
            granted,
            running: Mutex::new(None),
            order: AtomicU8::new(0),
            waker: AtomicWaker::new(),
            is_pinned: AtomicBool::new(false),
            is_asked_back: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            rested: AtomicU64::new(self.now()),
        });
        self.all().insert(id, Arc::clone(&session));
        Place {
            sessions: Arc::clone(self),
            session,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A session begins to rest.
    pub(crate) fn rests(&self, session: &Session) {
        session.rested.store(self.now(), Ordering::Relaxed);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all().len()
    }

    /// How many a user has.
    pub(crate) fn count_of(&self, user: i64) -> usize {
        self.all()
            .values()
            .filter(|session| session.granted.grant.user == user)
            .count()
    }

    /// Ends sessions, and waits until they are gone, or for so long.
    pub(crate) async fn end(
        &self,
        order: Order,
        patience: Duration,
        which: impl Fn(&Session) -> bool,
    ) -> bool {
        let gone = async {
            loop {
                // Asked for before the look: a leave in between is not missed.
                let left = self.left.notified();
                tokio::pin!(left);
                left.as_mut().enable();
                let mut found = false;
                for session in self.all().values().filter(|session| which(session)) {
                    found = true;
                    session.tell(order);
                }
                if !found {
                    return;
                }
                left.await;
            }
        };
        tokio::time::timeout(patience, gone).await.is_ok()
    }

    /// What a user may stop: a connection of the same user.
    pub(crate) fn kill(&self, user: i64, connection: u64, query_only: bool) -> bool {
        let found = u32::try_from(connection)
            .ok()
            .and_then(|id| self.all().get(&id).cloned());
        match found.filter(|session| session.granted.grant.user == user) {
            Some(session) if query_only => {
                session.stop(Order::StopAsked, |_| true);
                true
            }
            Some(session) => {
                session.tell(Order::EndAsked);
                true
            }
            None => false,
        }
    }

    /// Stops the statement of this number; whether it ran.
    pub(crate) fn stop(&self, statement: u64) -> bool {
        let all: Vec<_> = self.all().values().cloned().collect();
        all.iter()
            .any(|session| session.stop(Order::StopAsked, |running| running.id == statement))
    }

    /// Stops what runs for too long, and ends what rests for too long.
    pub(crate) fn sweep(&self, idle: Duration) {
        let now = self.now();
        let idle = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        for session in self.all().values() {
            let running = session.running();
            match running.as_ref() {
                Some(running) if running.began.elapsed() >= running.limit => {
                    session.tell(Order::StopSlow)
                }
                Some(_) => {}
                None if now.saturating_sub(session.rested.load(Ordering::Relaxed)) >= idle => {
                    session.tell(Order::EndIdle);
                }
                None => {}
            }
        }
    }

    /// What the connections of a user are at.
    pub(crate) fn at(&self, user: i64) -> At {
        let now = self.now();
        let mut at = At {
            longest: None,
            is_pinned: false,
            rested: Duration::MAX,
        };
        for session in self.all().values() {
            if session.granted.grant.user != user {
                continue;
            }
            at.is_pinned |= session.is_pinned.load(Ordering::Relaxed);
            match session.running().as_ref() {
                Some(running) => at.longest = at.longest.max(Some(running.began.elapsed())),
                None => {
                    let rested = session.rested.load(Ordering::Relaxed);
                    let rested = Duration::from_millis(now.saturating_sub(rested));
                    at.rested = at.rested.min(rested);
                }
            }
        }
        at
    }

    /// Asks a user's connections to give back what they hold, from when they rest.
    pub(crate) fn ask_back(&self, user: i64) {
        for session in self.all().values() {
            if session.granted.grant.user == user {
                session.is_asked_back.store(true, Ordering::Release);
                session.waker.wake();
            }
        }
    }

    /// Ends the connections of a user that hold what would be lost elsewhere.
    pub(crate) fn end_pinned(&self, user: i64) {
        for session in self.all().values() {
            if session.granted.grant.user == user && session.is_pinned.load(Ordering::Relaxed) {
                session.tell(Order::EndWanted);
            }
        }
    }

    /// What runs, oldest first.
    pub(crate) fn running(&self) -> Vec<Statement> {
        let all: Vec<_> = self.all().values().cloned().collect();
        let mut found: Vec<Statement> = all
            .iter()
            .filter_map(|session| {
                let running = session.running();
                let running = running.as_ref()?;
                let grant = &session.granted.grant;
                Some(Statement {
                    id: running.id.to_string(),
                    user: grant.user,
                    name: grant.name.clone(),
                    server: grant.server.clone(),
                    launch: grant.launch.clone(),
                    section: running.section.to_string(),
                    database: (!running.database.is_empty()).then(|| running.database.to_string()),
                    text: running.text.clone(),
                    age_ms: u64::try_from(running.began.elapsed().as_millis()).unwrap_or(u64::MAX),
                    rows: Some(session.rows.load(Ordering::Relaxed)),
                    bytes: session.bytes.load(Ordering::Relaxed),
                })
            })
            .collect();
        found.sort_by_key(|statement| std::cmp::Reverse(statement.age_ms));
        found
    }
}

impl Place {
    /// Leaves for another one with the same number.
    pub(crate) fn give_up(self) {
        drop(self);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut all = self.sessions.all();
            // Another one may have the number by now: of the same client, as another user.
            if all
                .get(&self.session.id)
                .is_some_and(|now| Arc::ptr_eq(now, &self.session))
            {
                all.remove(&self.session.id);
            }
        }
        self.sessions.left.notify_waiters();
    }
}

/// What is kept of a statement's text to be looked at.
pub(crate) fn shown(text: &[u8]) -> String {
    let text = &text[..text.len().min(TEXT * 4)];
    String::from_utf8_lossy(text).chars().take(TEXT).collect()
}
