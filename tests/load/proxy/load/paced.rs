//! Small requests at a fixed rate: how long answers take when nobody waits for them.
//!
//! A request's time begins when it was planned, not when a connection was free for it, so that a proxy which stops for a moment pays
//! for everything that was to come in that moment.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::drive::Meter;
use super::http::Requests;
use super::{Exchange, Latency, Order, Outcome};

/// How long answers are waited for after the last request was planned; what is missing then counts as long as it was waited for.
const GRACE: Duration = Duration::from_secs(1);

/// What waits for what. Locked for a moment only, on one thread.
#[derive(Debug, Default)]
struct Board {
    /// Connections with nothing to do, the longest idle first.
    idle: VecDeque<usize>,
    /// Planned requests without a connection.
    late: VecDeque<Instant>,
    /// Nanoseconds of each answer.
    times: Vec<u64>,
    errors: Vec<String>,
}

/// Shared by the plan and all connections.
type Shared = Arc<Mutex<Board>>;

/// Warms up at the same rate, then measures.
pub(super) async fn run(order: &Order, rate: f64) -> Result<Outcome> {
    let board = Shared::default();
    let mut tasks = JoinSet::new();
    let mut mailboxes = Vec::new();
    for (index, client) in Requests::open(order.port, order.connections)
        .await?
        .into_iter()
        .enumerate()
    {
        let (mailbox, planned) = mpsc::unbounded_channel();
        mailboxes.push(mailbox);
        with(&board, |board| board.idle.push_back(index));
        tasks.spawn(answer_plan(client, index, planned, Arc::clone(&board)));
    }
    follow_plan(&board, &mailboxes, rate, order.warm_up).await?;
    with(&board, |board| {
        board.times.clear();
        board.late.clear();
    });

    let meter = Meter::start(&order.pids).await?;
    let planned = follow_plan(&board, &mailboxes, rate, order.time).await?;
    let (mut times, late, errors) = with(&board, |board| {
        let times = std::mem::take(&mut board.times);
        let late = std::mem::take(&mut board.late);
        (times, late, std::mem::take(&mut board.errors))
    });
    let units = times.len() as u64;
    let outcome = meter.stop(units, errors).await?;
    times.extend(late.iter().map(|planned| nanoseconds(planned.elapsed())));
    // Those that are with a proxy which does not answer have no entry yet.
    let missing = usize::try_from(planned)?.saturating_sub(times.len());
    times.extend(std::iter::repeat_n(nanoseconds(GRACE), missing));
    times.sort_unstable();
    Ok(Outcome {
        latency: Some(Latency {
            middle: quantile(&times, 0.5),
            p99: quantile(&times, 0.99),
            p999: quantile(&times, 0.999),
        }),
        ..outcome
    })
}

/// Gives every planned request to a connection at its time; how many there were.
async fn follow_plan(
    board: &Shared,
    mailboxes: &[mpsc::UnboundedSender<Instant>],
    rate: f64,
    time: Duration,
) -> Result<u64> {
    let period = Duration::from_secs_f64(1.0 / rate);
    let timer = timerfd_create(
        TimerfdClockId::Monotonic,
        TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
    )?;
    #[expect(
        deprecated,
        reason = "its successor is unsafe; an `OwnedFd` is what it says for as long as it lives"
    )]
    let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
    let began = Instant::now();
    let every = Timespec {
        tv_sec: period.as_secs().try_into()?,
        tv_nsec: period.subsec_nanos().into(),
    };
    let plan = Itimerspec {
        it_interval: every,
        it_value: every,
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &plan)?;
    let mut planned = 0;
    while began.elapsed() < time {
        let mut due = [0; 8];
        let read = |timer: &std::os::fd::OwnedFd| Ok(rustix::io::read(timer, &mut due)?);
        timer.async_io(Interest::READABLE, read).await?;
        for _ in 0..u64::from_ne_bytes(due) {
            planned += 1;
            let at = began + period * u32::try_from(planned)?;
            with(board, |board| match board.idle.pop_front() {
                // A connection that has ended says so itself.
                Some(index) => drop(mailboxes[index].send(at)),
                None => board.late.push_back(at),
            });
        }
    }
    let waited = Instant::now();
    while waited.elapsed() < GRACE
        && with(board, |board| {
            board.idle.len() < mailboxes.len() && board.errors.is_empty()
        })
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(planned)
}

/// One connection: takes what is planned for it, and what is late.
async fn answer_plan(
    mut client: Requests,
    index: usize,
    mut planned: mpsc::UnboundedReceiver<Instant>,
    board: Shared,
) {
    while let Some(mut at) = planned.recv().await {
        loop {
            if let Err(error) = client.exchange().await {
                with(&board, |board| board.errors.push(format!("{error:#}")));
                return;
            }
            let next = with(&board, |board| {
                board.times.push(nanoseconds(at.elapsed()));
                let next = board.late.pop_front();
                if next.is_none() {
                    board.idle.push_back(index);
                }
                next
            });
            match next {
                Some(next) => at = next,
                None => break,
            }
        }
    }
}

fn with<T>(board: &Shared, look: impl FnOnce(&mut Board) -> T) -> T {
    look(&mut board.lock().unwrap_or_else(PoisonError::into_inner))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds below which this part of the sorted times lies.
fn quantile(times: &[u64], part: f64) -> f64 {
    let count = times.len();
    // Both are far below the numbers that a float cannot count.
    let rank = (count as f64 * part).ceil() as usize;
    match times.get(rank.clamp(1, count.max(1)) - 1) {
        Some(time) => *time as f64 / 1e9,
        None => f64::NAN,
    }
}
