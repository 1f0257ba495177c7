//! What the spawner tests need: an engine that must be there, and a small image with a starter of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerConfig, ContainerCreateBody};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use holt::spawner::docker::{DockerSettings, DockerSpawner};
use holt::spawner::{ProgressSink, Spawner};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The starter of the test image: as the real one, and then a server of few lines that does what `HOLT_TEST` says.
const STARTER: &str = r#"
import os, re, socket, struct, sys
head = sys.stdin.buffer.read(8)
if len(head) < 8 or head[:4] != b"HLT1":
    sys.exit(97)
length = struct.unpack(">I", head[4:])[0]
text = sys.stdin.buffer.read(length)
if len(text) < length:
    sys.exit(97)
launch = re.search(rb'"launch":"([^"]*)"', text).group(1).decode()
print("holt.bind: bound " + launch, flush=True)
found = re.search(rb'"HOLT_TEST":"([^"]*)"', text)
todo = found.group(1).decode() if found else "serve"
print("last words of " + launch, flush=True)
if todo.startswith("exit"):
    sys.exit(int(todo[4:]))
if todo == "oom":
    hog = []
    while True:
        hog.append(bytearray(8 << 20))
server = socket.socket()
server.setsockopt(1, 2, 1)
server.bind(("0.0.0.0", 8888))
server.listen(5)
while True:
    connection, _ = server.accept()
    connection.sendall(launch.encode())
    connection.close()
"#;

/// Follows progress on standard output.
pub(crate) fn printed() -> ProgressSink {
    Arc::new(|progress| println!("{:?} {}", progress.percent, progress.message))
}

/// Waits until it is so.
pub(crate) async fn eventually<T, F>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> F,
) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let end = tokio::time::Instant::now() + deadline;
    loop {
        match look().await {
            Ok(value) => return value,
            Err(last) if tokio::time::Instant::now() > end => panic!("{what}: last seen {last}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// An engine, a hub id and a data directory of a test's own. Everything made under them is removed by [`Bench::clear`].
pub(crate) struct Bench {
    pub(crate) docker: Docker,
    pub(crate) hub: String,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) settings: DockerSettings,
    pub(crate) stop: CancellationToken,
}

impl Bench {
    /// Fails with what to do when there is no engine.
    pub(crate) async fn new(name: &str) -> Self {
        let docker = Docker::connect_with_defaults().expect(
            "these tests need a container engine: apt-get install docker.io, then start dockerd",
        );
        docker
            .ping()
            .await
            .expect("these tests need a container engine that answers: start dockerd");
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut bench = Self {
            docker,
            hub: format!("test-{name}-{:08x}", rand::random::<u32>()),
            folder,
            settings: DockerSettings {
                stop_grace: Duration::from_secs(2),
                sample_every: Duration::from_millis(300),
                ..DockerSettings::default()
            },
            stop: CancellationToken::new(),
        };
        let helper = bench
            .spawner()
            .helper_reference(printed())
            .await
            .expect("the helper image");
        bench.settings.image = Some(bench.image_of(&helper).await);
        bench
    }

    /// Another connection of the same hub, as after a restart.
    pub(crate) fn spawner(&self) -> DockerSpawner {
        DockerSpawner::connect(
            self.settings.clone(),
            self.hub.clone(),
            self.folder.path().to_owned(),
            TaskTracker::new(),
            self.stop.child_token(),
        )
    }

    /// The test image, made once from the helper image.
    async fn image_of(&self, helper: &str) -> String {
        // Tests run side by side: one of them makes it.
        static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let _one = ONE.lock().await;
        let hash = STARTER.bytes().fold(helper.len() as u64, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(byte.into())
        });
        let tag = format!("{}-{hash:016x}", helper.rsplit(':').next().unwrap_or("0"));
        let reference = format!("holt-test-starter:{tag}");
        if self.docker.inspect_image(&reference).await.is_ok() {
            return reference;
        }
        let name = format!("holt-test-{:016x}", rand::random::<u64>());
        let body = ContainerCreateBody {
            image: Some(helper.to_owned()),
            cmd: Some(vec!["true".into()]),
            ..Default::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        self.docker
            .create_container(Some(options), body)
            .await
            .expect("a container");
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(STARTER.len() as u64);
        header.set_mode(0o755);
        archive
            .append_data(&mut header, "starter.py", STARTER.as_bytes())
            .expect("a tar");
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        let body = bollard::body_full(archive.into_inner().expect("a tar").into());
        self.docker
            .upload_to_container(&name, Some(options), body)
            .await
            .expect("an upload");
        let config = ContainerConfig {
            entrypoint: Some(vec![
                "python3".into(),
                "-I".into(),
                "-S".into(),
                "/starter.py".into(),
            ]),
            user: Some("52771:52771".into()),
            labels: Some([("holt.bind".to_owned(), "1".to_owned())].into()),
            ..Default::default()
        };
        let options = CommitContainerOptionsBuilder::new()
            .container(&name)
            .repo("holt-test-starter")
            .tag(&tag)
            .build();
        self.docker
            .commit_container(options, config)
            .await
            .expect("a commit");
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        self.docker
            .remove_container(&name, Some(options))
            .await
            .expect("a removal");
        reference
    }

    /// Removes all that the test made, firewall included.
    pub(crate) async fn clear(self) {
        let spawner = self.spawner();
        for found in spawner.list().await.expect("a list") {
            spawner.remove(&found.launch).await.expect("a removal");
        }
        spawner.remove_everything().await.expect("a clean end");
        self.stop.cancel();
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> &Path {
        self.folder.path()
    }
}
