//! Websockets that are held: what memory each takes.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::drive::{Meter, Until, drive};
use super::http::Requests;
use super::websocket::Echoes;
use super::{Exchange, Order, Outcome};

/// Until a proxy has given back what it needs only while bytes flow.
const REST: Duration = Duration::from_secs(1);

/// Warms the proxy up with the order's connections, which stay, and then opens and holds those that are counted.
pub(super) async fn run(order: &Order, held: usize) -> Result<Outcome> {
    let mut errors = Vec::new();
    let until = Until::Passed(order.warm_up);
    let requests = Requests::open(order.port, order.connections).await?;
    let echoes = Echoes::open(order.port, order.connections, 128).await?;
    let _requests = drive(requests, until, &mut errors).await;
    let _echoes = drive(echoes, until, &mut errors).await;
    tokio::time::sleep(REST).await;

    let meter = Meter::start(&order.pids).await?;
    let opening = Instant::now();
    let mut sockets = Vec::with_capacity(held);
    for mut socket in Echoes::open(order.port, held, 128).await? {
        socket.exchange().await?;
        sockets.push(socket);
    }
    let seconds = opening.elapsed().as_secs_f64();
    tokio::time::sleep(REST).await;
    let mut outcome = meter.stop(held as u64, errors).await?;
    outcome.seconds = seconds;
    // They are alive: a proxy that had dropped some would have looked frugal.
    for mut socket in sockets {
        socket.exchange().await?;
    }
    Ok(outcome)
}
