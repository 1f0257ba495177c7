//! The story of a start, one function a step: claim, plan, make the OAuth client, create, bind, wait until it answers, route.
//!
//! Claim and plan are one transition of the queue (`store/queue.rs`): who is first gets a launch, a pending route and a lease.
//! Each step after it begins with the row already saying so, and ends with the row saying the next.
//! Making the OAuth client belongs to the step that hands it over, so that a hub that takes the step again makes a new one: the old
//! secret died with the process that knew it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use holt_spec::bundle::Bundle;
use tracing::info;

use super::answer::{Answer, probe};
use super::state::Phase;
use super::stop::{fail, retire, words_for_end};
use super::worker::{StepError, Taken};
use super::{ServerRow, Servers, fault};
use crate::metrics::{START_SECONDS, STARTS};
use crate::replicas::Given;
use crate::spawner::{Image, Seen, SpawnerError};
use crate::store::launches::{LaunchRow, Lease, StopReason};

/// Launches made for one wish before the start is called failed.
const ATTEMPTS: i64 = 3;
/// Between two looks at a server that does not answer yet.
const PROBE_PAUSE: Duration = Duration::from_millis(15);
/// As many looks as make about a second.
const LOOKS: u32 = 50;

/// Makes the image ready. As long as it is being built, the waiting person reads how far it is; this time is nobody's time-out.
pub(super) async fn prepare(
    servers: &Servers,
    lease: &Lease,
    server: &ServerRow,
    launch: &LaunchRow,
) -> Result<Taken, StepError> {
    let store = &servers.inner.parts.store;
    let image = tokio::select! {
        image = servers.prepare_image() => image,
        () = servers.unwanted(server.id) => return Ok(Taken::Done),
        () = tell_image_progress(servers, server.id) => return Ok(Taken::Later),
    };
    if let Err(error) = image {
        return give_up_or_wait(servers, lease, launch, error).await;
    }
    store
        .add_progress(server.id, "step", 10, "Making the container")
        .await?;
    moved(
        store
            .advance(lease, &launch.id, Phase::Planned, Phase::Creating)
            .await?,
    )
}

/// Writes down what the image builder says, for ever.
async fn tell_image_progress(servers: &Servers, server_id: i64) {
    let mut told = String::new();
    loop {
        servers.changed(Duration::from_secs(1)).await;
        let Some(progress) = servers.image_progress() else {
            continue;
        };
        if progress.message != told {
            let percent = 1 + i64::from(progress.percent.unwrap_or(0)) * 8 / 100;
            let message = format!("The notebook image is being made: {}", progress.message);
            // Lost progress is no reason to stop.
            let _ = servers
                .inner
                .parts
                .store
                .add_progress(server_id, "step", percent, &message)
                .await;
            told = progress.message;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Lets the engine make the container.
pub(super) async fn create(
    servers: &Servers,
    lease: &Lease,
    server: &ServerRow,
    launch: &LaunchRow,
) -> Result<Taken, StepError> {
    let parts = &servers.inner.parts;
    let image = match image(servers).await {
        Ok(image) => image,
        Err(error) => return give_up_or_wait(servers, lease, launch, error).await,
    };
    let bundle = if image.bindable {
        None
    } else {
        match parts.spawner.inspect(&launch.id).await {
            Ok(Seen::Absent) => Some(bundle(servers, lease, server, launch).await?),
            Ok(_) => return another(servers, lease, server, launch).await,
            Err(error) => return give_up_or_wait(servers, lease, launch, error).await,
        }
    };
    if let Some(replicas) = &parts.replicas
        && let Some(place) = replicas.place()
    {
        parts.spawner.name_hosts(replicas.hosts(), place.ip());
    }
    match parts
        .spawner
        .create(&launch.plan, &image, bundle.as_ref())
        .await
    {
        Ok(()) => {}
        Err(error) => return give_up_or_wait(servers, lease, launch, error).await,
    }
    fault::point("create:acted");
    parts
        .store
        .add_progress(server.id, "step", 25, "Starting the container")
        .await?;
    moved(
        parts
            .store
            .advance(lease, &launch.id, Phase::Creating, Phase::Binding)
            .await?,
    )
}

/// Starts the container and hands over who it belongs to.
pub(super) async fn bind(
    servers: &Servers,
    lease: &Lease,
    server: &ServerRow,
    launch: &LaunchRow,
) -> Result<Taken, StepError> {
    let parts = &servers.inner.parts;
    let image = match image(servers).await {
        Ok(image) => image,
        Err(error) => return give_up_or_wait(servers, lease, launch, error).await,
    };
    let bundle = if image.bindable {
        match parts.spawner.inspect(&launch.id).await {
            Ok(Seen::Running { .. }) => return another(servers, lease, server, launch).await,
            Ok(_) => bundle(servers, lease, server, launch).await?,
            Err(error) => return give_up_or_wait(servers, lease, launch, error).await,
        }
    } else {
        // It was given all it needs when it was made.
        Bundle {
            launch: launch.id.0.clone(),
            env: std::collections::BTreeMap::new(),
            files: Vec::new(),
            command: Vec::new(),
        }
    };
    let address = match parts.spawner.bind(&launch.plan, &image, &bundle).await {
        Ok(address) => address,
        // It ended before it had its bundle: nobody's fault, or the fault of a hub that was killed while handing it over.
        Err(SpawnerError::Bind { reason }) if server.attempts + 1 < ATTEMPTS => {
            info!(launch.id = %launch.id, reason, "Launch {} was not bound; another follows", launch.id);
            return retire(servers, lease, launch, StopReason::Again).await;
        }
        Err(error) => return give_up_or_wait(servers, lease, launch, error).await,
    };
    fault::point("bind:acted");
    parts
        .store
        .add_progress(server.id, "step", 50, "Waiting for the notebook to answer")
        .await?;
    let source = parts.spawner.source(address);
    let begun = parts
        .store
        .begin_waiting(lease, &launch.id, address, source)
        .await?;
    if let Some(replicas) = &parts.replicas {
        replicas.wake();
    }
    moved(begun)
}

/// Waits until the server answers, then leads its route to it.
pub(super) async fn await_answer(
    servers: &Servers,
    lease: &Lease,
    server: &ServerRow,
    launch: &LaunchRow,
) -> Result<Taken, StepError> {
    let parts = &servers.inner.parts;
    let limit = parts.settings.ready_timeout;
    let started = Instant::now();
    let answer = tokio::select! {
        answer = answering(servers, server, launch) => answer?,
        () = servers.unwanted(server.id) => return Ok(Taken::Done),
        () = tokio::time::sleep(Servers::left(launch, limit)) => {
            let logs = last_words(servers, launch).await;
            let words = format!("The server runs but did not answer within {} s.{logs}", limit.as_secs());
            return fail(servers, lease, launch, words).await;
        }
    };
    let (address, version) = match answer {
        Ended::Answers(address, answer) => (address, answer.version),
        Ended::Exited(seen) => {
            let words = words_for_end(servers, launch, &seen, "before it answered").await;
            return fail(servers, lease, launch, words).await;
        }
    };
    // Who reads "ready" may query at once. The gateway was told while the server began, so this hardly ever waits.
    if let Some(replicas) = &parts.replicas {
        replicas.settle().await?;
    }
    let Some(generation) = parts
        .store
        .become_ready(lease, &launch.id, address, version.as_deref())
        .await?
    else {
        return Ok(Taken::StoodDown);
    };
    fault::point("await:acted");
    servers.wake();
    // Who reads "ready" must find the route; a proxy that is away learns it when it is back.
    parts
        .routes
        .settled(generation, Duration::from_secs(5))
        .await;
    parts
        .store
        .add_progress(server.id, "ready", 100, "The server is ready")
        .await?;
    let seconds = started.elapsed().as_secs_f64()
        + Duration::from_millis(launch.age_ms.unsigned_abs()).as_secs_f64();
    metrics::histogram!(START_SECONDS).record(seconds);
    metrics::counter!(STARTS, "outcome" => "ready").increment(1);
    info!(server.id = server.id, launch.id = %launch.id, seconds, "Server {} is ready", server.id);
    Ok(Taken::Done)
}

enum Ended {
    Answers(SocketAddr, Answer),
    Exited(Seen),
}

/// Asks the server until it answers or is seen to have ended.
async fn answering(
    servers: &Servers,
    server: &ServerRow,
    launch: &LaunchRow,
) -> Result<Ended, StepError> {
    let spawner = &servers.inner.parts.spawner;
    let path = format!(
        "{}api",
        holt_spec::names::server_prefix(&server.user, &server.name)
    );
    let mut address = launch.address;
    let mut looks: u32 = 0;
    loop {
        if let Some(address) = address
            && let Some(answer) = probe(address, &path).await
        {
            return Ok(Ended::Answers(address, answer));
        }
        // About once a second, and at once when something ended: is it still there, and where?
        if looks.is_multiple_of(LOOKS) {
            match spawner.inspect(&launch.id).await {
                Ok(Seen::Running { address: now }) => address = now.or(address),
                Ok(seen @ (Seen::Exited { .. } | Seen::Absent | Seen::Created)) => {
                    return Ok(Ended::Exited(seen));
                }
                Err(_unknown) => {}
            }
        }
        looks += 1;
        tokio::time::sleep(PROBE_PAUSE).await;
    }
}

async fn image(servers: &Servers) -> Result<Image, SpawnerError> {
    servers.prepare_image().await
}

async fn bundle(
    servers: &Servers,
    lease: &Lease,
    server: &ServerRow,
    launch: &LaunchRow,
) -> Result<Bundle, StepError> {
    let parts = &servers.inner.parts;
    let mut env = parts.credentials.issue(server, &launch.plan).await?;
    let given = match &parts.replicas {
        Some(replicas) => replicas.give(lease, server, launch).await?,
        None => Given::default(),
    };
    let mut files = given.files;
    env.extend(given.env);
    if let Some(broker) = &parts.broker {
        let given = broker.give(lease, server, launch).await?;
        env.extend(given.env);
        files.extend(given.files);
    }
    env.extend(parts.settings.environment.clone());
    Ok(Bundle {
        launch: launch.id.0.clone(),
        env,
        files,
        command: Vec::new(),
    })
}

/// The launch was given secrets by a hub that was killed, or cut off, before it wrote that down. They died with it, and new ones would
/// not reach what runs: another launch takes its place.
async fn another(
    servers: &Servers,
    lease: &Lease,
    server: &ServerRow,
    launch: &LaunchRow,
) -> Result<Taken, StepError> {
    if server.attempts + 1 < ATTEMPTS {
        info!(launch.id = %launch.id, "Launch {} was given its secrets by a hub that is gone; another follows", launch.id);
        return retire(servers, lease, launch, StopReason::Again).await;
    }
    let words =
        format!("The server was cut off while it started, {ATTEMPTS} times. Start it again.");
    fail(servers, lease, launch, words).await
}

/// An engine that may answer later is waited for until the start's time is up; anything else ends the start.
async fn give_up_or_wait(
    servers: &Servers,
    lease: &Lease,
    launch: &LaunchRow,
    error: SpawnerError,
) -> Result<Taken, StepError> {
    let left = Servers::left(launch, servers.inner.parts.settings.start_timeout);
    if error.is_retryable() && !left.is_zero() {
        let store = &servers.inner.parts.store;
        store
            .add_progress(
                lease.server_id,
                "step",
                5,
                "The container engine does not answer; trying again",
            )
            .await?;
        return Err(error.into());
    }
    let words = crate::error_chain(&error);
    fail(
        servers,
        lease,
        launch,
        format!("The server could not be started: {words}."),
    )
    .await
}

async fn last_words(servers: &Servers, launch: &LaunchRow) -> String {
    match servers.inner.parts.spawner.logs(&launch.id, 5).await {
        Ok(lines) if !lines.trim().is_empty() => format!(" It last printed: {}", lines.trim()),
        Ok(_) | Err(_) => String::new(),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every step ends with it")]
fn moved(moved: bool) -> Result<Taken, StepError> {
    Ok(if moved { Taken::Done } else { Taken::StoodDown })
}
