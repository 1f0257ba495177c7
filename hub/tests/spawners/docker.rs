//! The Docker spawner against the real engine of this machine.

use crate::behaviour::{self, SECRET, bundle, plan, says};
use crate::support::{Bench, eventually, printed};
use holt::spawner::{Seen, Spawner};

#[tokio::test(flavor = "multi_thread")]
async fn behaves_as_every_spawner() {
    let bench = Bench::new("behaviour").await;
    let spawner = bench.spawner();
    spawner.prepare(None).await.expect("prepare");
    behaviour::every_call_may_be_repeated(&spawner, &bundle).await;
    behaviour::an_end_is_seen_with_its_code(&spawner, &bundle).await;
    behaviour::a_bind_cut_off_anywhere_ends_well(&spawner, &bundle).await;
    bench.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_hub_finds_its_launches_and_meeting_again() {
    let bench = Bench::new("adopt").await;
    let first = bench.spawner();
    let meeting = first.prepare(None).await.expect("prepare");
    let image = first.image(printed()).await.expect("image");
    let plan = plan(8888);
    let bundle = bundle(&plan, "serve");
    first.create(&plan, &image, None).await.expect("create");
    let address = first.bind(&plan, &image, &bundle).await.expect("bind");
    drop(first);

    let second = bench.spawner();
    let found = second.list().await.expect("list");
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].seen,
        Seen::Running {
            address: Some(address)
        }
    );
    // The listener of the first is still there: its port is kept, not taken for another's.
    let _held = std::net::TcpListener::bind(meeting.listen).expect("the meeting address is ours");
    assert_eq!(
        second.prepare(Some(&meeting)).await.expect("prepare again"),
        meeting
    );
    assert_eq!(
        second
            .bind(&plan, &image, &bundle)
            .await
            .expect("bind again"),
        address
    );
    assert_eq!(says(address).await, plan.launch.0);
    bench.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_holds_the_limits_and_no_secret() {
    let bench = Bench::new("inspect").await;
    let spawner = bench.spawner();
    spawner.prepare(None).await.expect("prepare");
    let image = spawner.image(printed()).await.expect("image");
    let plan = plan(8888);
    spawner.create(&plan, &image, None).await.expect("create");
    spawner
        .bind(&plan, &image, &bundle(&plan, "serve"))
        .await
        .expect("bind");
    let filters =
        std::collections::HashMap::from([("label", vec![format!("holt.launch={}", plan.launch)])]);
    let options = bollard::query_parameters::ListContainersOptionsBuilder::new()
        .filters(&filters)
        .build();
    let listed = bench
        .docker
        .list_containers(Some(options))
        .await
        .expect("a list");
    let id = listed[0].id.clone().expect("an id");
    let found = bench
        .docker
        .inspect_container(&id, None)
        .await
        .expect("a description");
    let text = serde_json::to_string(&found).expect("JSON");
    assert!(!text.contains(SECRET));
    let host = found.host_config.expect("a host part");
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert_eq!(
        host.security_opt,
        Some(vec!["no-new-privileges".to_owned()])
    );
    assert_eq!(host.memory, Some(64 << 20));
    assert_eq!(host.pids_limit, Some(64));
    assert_eq!(host.privileged, Some(false));
    let home = bench.data_dir().join("homes/1");
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&home).expect("a home"));
    assert_eq!(owner, 52771);
    bench.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_runs_out_of_memory_is_told_apart() {
    let bench = Bench::new("memory").await;
    let spawner = bench.spawner();
    spawner.prepare(None).await.expect("prepare");
    let image = spawner.image(printed()).await.expect("image");
    let plan = plan(8888);
    spawner.create(&plan, &image, None).await.expect("create");
    let _bound = spawner.bind(&plan, &image, &bundle(&plan, "oom")).await;
    eventually(
        "out of memory",
        std::time::Duration::from_secs(30),
        || async {
            match spawner.inspect(&plan.launch).await.expect("inspect") {
                Seen::Exited {
                    out_of_memory: true,
                    ..
                } => Ok(()),
                other => Err(format!("{other:?}")),
            }
        },
    )
    .await;
    bench.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_use_is_sampled_and_its_peak_kept() {
    let bench = Bench::new("usage").await;
    let spawner = bench.spawner();
    spawner.prepare(None).await.expect("prepare");
    let image = spawner.image(printed()).await.expect("image");
    let plan = plan(8888);
    spawner.create(&plan, &image, None).await.expect("create");
    spawner
        .bind(&plan, &image, &bundle(&plan, "serve"))
        .await
        .expect("bind");
    eventually("a sample", std::time::Duration::from_secs(30), || async {
        let usage = spawner.usage(&plan.launch).await;
        match usage.memory_limit {
            Some(limit) if limit == 64 << 20 && usage.memory_peak > Some(1 << 20) => Ok(()),
            _ => Err(format!("{usage:?}")),
        }
    })
    .await;
    bench.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attach_left_behind_by_a_dead_hub_does_not_spoil_the_launch() {
    let bench = Bench::new("stale").await;
    let spawner = bench.spawner();
    spawner.prepare(None).await.expect("prepare");
    let image = spawner.image(printed()).await.expect("image");
    let plan = plan(8888);
    spawner.create(&plan, &image, None).await.expect("create");
    // The dead hub: it attached and went away before the start.
    let filters =
        std::collections::HashMap::from([("label", vec![format!("holt.launch={}", plan.launch)])]);
    let options = bollard::query_parameters::ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    let listed = bench
        .docker
        .list_containers(Some(options))
        .await
        .expect("a list");
    let id = listed[0].id.clone().expect("an id");
    let options = bollard::query_parameters::AttachContainerOptionsBuilder::new()
        .stdin(true)
        .stdout(true)
        .stream(true)
        .build();
    drop(
        bench
            .docker
            .attach_container(&id, Some(options))
            .await
            .expect("an attach"),
    );
    let address = spawner
        .bind(&plan, &image, &bundle(&plan, "serve"))
        .await
        .expect("bind");
    assert_eq!(says(address).await, plan.launch.0);
    bench.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_is_deleted_with_what_the_user_made_unreadable() {
    let bench = Bench::new("home").await;
    let spawner = bench.spawner();
    spawner.prepare(None).await.expect("prepare");
    let image = spawner.image(printed()).await.expect("image");
    let plan = plan(8888);
    spawner.create(&plan, &image, None).await.expect("create");
    let home = bench.data_dir().join("homes/1");
    let inner = home.join("a/b");
    std::fs::create_dir_all(&inner).expect("a folder");
    std::fs::write(inner.join("file"), "x").expect("a file");
    for path in [&inner, &home.join("a")] {
        std::os::unix::fs::chown(path, Some(52771), Some(52771)).expect("an owner");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o000);
        std::fs::set_permissions(path, mode).expect("a mode");
    }
    spawner.remove(&plan.launch).await.expect("remove");
    spawner.remove_home("1").await.expect("a deletion");
    assert!(!home.exists());
    spawner
        .remove_home("1")
        .await
        .expect("deleting what is gone");
    bench.clear().await;
}
