//! What every spawner does alike. Each function is one promise of the `Spawner` trait, tried on a spawner that is prepared.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use holt::spawner::{Event, Image, LaunchId, LaunchPlan, Seen, Spawner};
use holt_spec::bundle::Bundle;

use crate::support::{eventually, printed};

const LONG: Duration = Duration::from_secs(30);

/// A word that must not be seen anywhere but in the server.
pub(crate) const SECRET: &str = "s3cr3t-t0ken-of-the-test";

/// A plan with a launch of its own.
pub(crate) fn plan(port: u16) -> LaunchPlan {
    LaunchPlan {
        launch: LaunchId(format!("l{:025x}", rand::random::<u64>())),
        server_id: 7,
        home: "1".into(),
        port,
        memory_bytes: Some(64 << 20),
        cpus: Some(1.0),
        pids: Some(64),
        mounts: Vec::new(),
    }
}

/// A bundle whose server does `todo`.
pub(crate) fn bundle(plan: &LaunchPlan, todo: &str) -> Bundle {
    Bundle {
        launch: plan.launch.0.clone(),
        env: BTreeMap::from([
            ("HOLT_TEST".to_owned(), todo.to_owned()),
            ("JUPYTERHUB_API_TOKEN".to_owned(), SECRET.to_owned()),
        ]),
        files: vec![],
        command: vec![],
    }
}

/// What the server at that address says.
pub(crate) async fn says(address: SocketAddr) -> String {
    eventually("the server answers", LONG, || async move {
        use tokio::io::AsyncReadExt;
        let mut text = String::new();
        let mut stream = tokio::net::TcpStream::connect(address)
            .await
            .map_err(|error| error.to_string())?;
        stream
            .read_to_string(&mut text)
            .await
            .map_err(|error| error.to_string())?;
        Ok(text)
    })
    .await
}

/// Makes the bundle of a server that does something.
pub(crate) type Make<'a> = &'a (dyn Fn(&LaunchPlan, &str) -> Bundle + Sync);

async fn created(
    spawner: &dyn Spawner,
    make: Make<'_>,
    image: &Image,
    plan: &LaunchPlan,
    todo: &str,
) -> Bundle {
    let bundle = make(plan, todo);
    let early = (!image.bindable).then_some(&bundle);
    spawner.create(plan, image, early).await.expect("create");
    bundle
}

/// Create, bind, stop and remove may each be called twice, and the launch is seen as it is.
pub(crate) async fn every_call_may_be_repeated(spawner: &dyn Spawner, make: Make<'_>) {
    let image = spawner.image(printed()).await.expect("image");
    let plan = plan(8888);
    assert_eq!(
        spawner.inspect(&plan.launch).await.expect("inspect"),
        Seen::Absent
    );
    let bundle = created(spawner, make, &image, &plan, "serve").await;
    created(spawner, make, &image, &plan, "serve").await;
    assert_eq!(
        spawner.inspect(&plan.launch).await.expect("inspect"),
        Seen::Created
    );
    let address = spawner.bind(&plan, &image, &bundle).await.expect("bind");
    assert_eq!(
        spawner
            .bind(&plan, &image, &bundle)
            .await
            .expect("bind again"),
        address
    );
    assert_eq!(says(address).await, plan.launch.0);
    let running = Seen::Running {
        address: Some(address),
    };
    assert_eq!(
        spawner.inspect(&plan.launch).await.expect("inspect"),
        running
    );
    let listed = spawner.list().await.expect("list");
    assert!(
        listed
            .iter()
            .any(|found| found.launch == plan.launch && found.seen == running),
        "{listed:?}"
    );
    let logs = spawner.logs(&plan.launch, 10).await.expect("logs");
    assert!(
        logs.contains(&format!("last words of {}", plan.launch)),
        "{logs:?}"
    );
    assert!(!logs.contains(SECRET));
    spawner.stop(&plan.launch).await.expect("stop");
    spawner.stop(&plan.launch).await.expect("stop again");
    assert!(matches!(
        spawner.inspect(&plan.launch).await.expect("inspect"),
        Seen::Exited { .. }
    ));
    spawner.remove(&plan.launch).await.expect("remove");
    spawner.remove(&plan.launch).await.expect("remove again");
    spawner.stop(&plan.launch).await.expect("stop what is gone");
    assert_eq!(
        spawner.inspect(&plan.launch).await.expect("inspect"),
        Seen::Absent
    );
    assert_eq!(
        spawner
            .logs(&plan.launch, 10)
            .await
            .expect("logs of what is gone"),
        ""
    );
}

/// A server that ends by itself is seen with its code and told by an event.
pub(crate) async fn an_end_is_seen_with_its_code(spawner: &dyn Spawner, make: Make<'_>) {
    let image = spawner.image(printed()).await.expect("image");
    let plan = plan(8888);
    let mut events = spawner.events();
    eventually_event(&mut events, |event| *event == Event::Connected).await;
    let bundle = created(spawner, make, &image, &plan, "exit3").await;
    // It may end before its address is asked for: both are lawful.
    let _bound = spawner.bind(&plan, &image, &bundle).await;
    eventually("the exit code", LONG, || async {
        match spawner.inspect(&plan.launch).await.expect("inspect") {
            Seen::Exited {
                code: 3,
                out_of_memory: false,
            } => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    eventually_event(&mut events, |event| {
        *event == Event::Changed(plan.launch.clone())
    })
    .await;
    spawner.remove(&plan.launch).await.expect("remove");
}

/// A bind that is cut off leaves a launch that binds or says that it ended, never one that waits for ever.
pub(crate) async fn a_bind_cut_off_anywhere_ends_well(spawner: &dyn Spawner, make: Make<'_>) {
    let image = spawner.image(printed()).await.expect("image");
    for milliseconds in [0, 5, 20, 60, 120, 200, 300, 450] {
        let plan = plan(8888);
        let bundle = created(spawner, make, &image, &plan, "serve").await;
        let limit = Duration::from_millis(milliseconds);
        let first = tokio::time::timeout(limit, spawner.bind(&plan, &image, &bundle)).await;
        match spawner.bind(&plan, &image, &bundle).await {
            Ok(address) => assert_eq!(says(address).await, plan.launch.0),
            Err(holt::spawner::SpawnerError::Bind { reason }) => {
                println!("after {milliseconds} ms: {reason}")
            }
            Err(error) => panic!("after {milliseconds} ms ({first:?}): {error}"),
        }
        spawner.remove(&plan.launch).await.expect("remove");
    }
}

/// Waits for an event.
pub(crate) async fn eventually_event(
    events: &mut futures_util::stream::BoxStream<'static, Event>,
    is_it: impl Fn(&Event) -> bool,
) {
    let waiting = async {
        while let Some(event) = events.next().await {
            if is_it(&event) {
                return;
            }
        }
        panic!("the events ended");
    };
    tokio::time::timeout(LONG, waiting)
        .await
        .expect("the event comes in time");
}
