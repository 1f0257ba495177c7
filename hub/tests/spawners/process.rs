//! The process spawner with processes of this machine.

use std::path::PathBuf;
use std::time::Duration;

use holt::spawner::process::{ProcessSettings, ProcessSpawner};
use holt::spawner::{LaunchPlan, Seen, Spawner};
use holt_spec::bundle::{Bundle, File};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::behaviour::{self, SECRET, plan, says};
use crate::support::{eventually, printed};

/// What the server of these tests is: it does what `HOLT_TEST` says at the address it was given.
const SERVER: &str = r#"
import os, re, socket, sys
launch = os.environ["HOLT_TEST_LAUNCH"]
print("last words of " + launch, flush=True)
todo = os.environ["HOLT_TEST"]
if todo.startswith("exit"):
    sys.exit(int(todo[4:]))
if todo == "file":
    launch = open(os.environ["HOLT_TEST_FILE"]).read()
host, port = re.search(r"//([0-9.]+):([0-9]+)/", os.environ["JUPYTERHUB_SERVICE_URL"]).groups()
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((host, int(port)))
server.listen(5)
while True:
    connection, _ = server.accept()
    connection.sendall(launch.encode())
    connection.close()
"#;

fn bundle(plan: &LaunchPlan, todo: &str) -> Bundle {
    let mut bundle = behaviour::bundle(plan, todo);
    let env = [
        ("HOLT_TEST_LAUNCH", plan.launch.0.as_str()),
        ("HOLT_TEST_FILE", "/run/holt/word"),
        ("JUPYTERHUB_SERVICE_URL", "http://0.0.0.0:8888/user/x/"),
    ];
    bundle
        .env
        .extend(env.map(|(name, value)| (name.to_owned(), value.to_owned())));
    bundle.files = vec![File {
        path: "/run/holt/word".into(),
        mode: 0o400,
        content: "from a file".into(),
    }];
    bundle.command = ["python3", "-c", SERVER].map(str::to_owned).to_vec();
    bundle
}

struct Bench {
    folder: tempfile::TempDir,
    stop: CancellationToken,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary directory"),
            stop: CancellationToken::new(),
        }
    }

    fn spawner(&self) -> ProcessSpawner {
        let settings = ProcessSettings {
            venv: Some(PathBuf::from("/usr")),
            stop_grace: Duration::from_secs(5),
            ..ProcessSettings::default()
        };
        ProcessSpawner::connect(
            settings,
            self.folder.path().to_owned(),
            TaskTracker::new(),
            self.stop.child_token(),
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behaves_as_every_spawner() {
    let bench = Bench::new();
    let spawner = bench.spawner();
    spawner.prepare(None).await.expect("prepare");
    assert_eq!(spawner.max_users(), Some(1));
    behaviour::every_call_may_be_repeated(&spawner, &bundle).await;
    behaviour::an_end_is_seen_with_its_code(&spawner, &bundle).await;
    behaviour::a_bind_cut_off_anywhere_ends_well(&spawner, &bundle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_hub_finds_its_processes_again_and_hears_of_their_end() {
    let bench = Bench::new();
    let first = bench.spawner();
    let image = first.image(printed()).await.expect("image");
    let plan = plan(8888);
    first.create(&plan, &image, None).await.expect("create");
    let address = first
        .bind(&plan, &image, &bundle(&plan, "serve"))
        .await
        .expect("bind");
    drop(first);

    let second = bench.spawner();
    let found = second.list().await.expect("list");
    assert_eq!(
        found[0].seen,
        Seen::Running {
            address: Some(address)
        }
    );
    assert_eq!(says(address).await, plan.launch.0);
    let mut events = second.events();
    second.stop(&plan.launch).await.expect("stop");
    let wanted = holt::spawner::Event::Changed(plan.launch.clone());
    behaviour::eventually_event(&mut events, |event| *event == wanted).await;
    eventually("the end", Duration::from_secs(10), || async {
        match second.inspect(&plan.launch).await.expect("inspect") {
            Seen::Exited { code: 143, .. } => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    second.remove(&plan.launch).await.expect("remove");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_in_arguments_and_files_reach_the_server() {
    let bench = Bench::new();
    let spawner = bench.spawner();
    let image = spawner.image(printed()).await.expect("image");
    let plan = plan(8888);
    spawner.create(&plan, &image, None).await.expect("create");
    let address = spawner
        .bind(&plan, &image, &bundle(&plan, "file"))
        .await
        .expect("bind");
    assert_eq!(says(address).await, "from a file");
    let arguments = std::fs::read_dir("/proc")
        .expect("processes")
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).contains(SECRET));
    assert!(!arguments, "a secret is in a command line");
    spawner.remove(&plan.launch).await.expect("remove");
    assert!(
        !bench
            .folder
            .path()
            .join("process")
            .join(&plan.launch.0)
            .exists()
    );
}
