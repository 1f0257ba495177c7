//! Building the notebook image on the real engine. The first run takes minutes; later ones find what is there.

use std::process::Command;

use crate::support::{Bench, printed};
use holt::spawner::Spawner;

/// What a command prints, or a panic with what it said.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("it runs");
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notebook_image_is_built_once_keeps_its_promises_and_nothing_of_the_machine() {
    let mut bench = Bench::new("image").await;
    bench.settings.image = None;
    let spawner = bench.spawner();
    let (one, two) = tokio::join!(spawner.image(printed()), spawner.image(printed()));
    let image = one.expect("the image");
    assert_eq!(image, two.expect("the image again"));
    assert!(image.bindable);

    // Another hub on the same engine has it at once.
    let began = std::time::Instant::now();
    bench
        .spawner()
        .image(printed())
        .await
        .expect("the image, found");
    assert!(began.elapsed() < std::time::Duration::from_secs(2));

    let arguments = [
        "run",
        "--rm",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--pids-limit=512",
        "--network=none",
        "--entrypoint",
        "/opt/venv/bin/python",
        &image.reference,
        "/usr/local/share/holt/contract.py",
    ];
    println!("{}", run("docker", &arguments));

    // Neither history nor description names anything that only the build knew.
    let told = run("docker", &["history", "--no-trunc", &image.reference])
        + &run("docker", &["inspect", &image.reference]);
    for word in [
        "PIP_",
        "SSL_CERT",
        "CA_BUNDLE",
        "_proxy",
        "_PROXY",
        "index-url",
        "holt-build",
    ] {
        assert!(!told.contains(word), "{word} in the description");
    }
    // And no layer: neither the directory of the build nor the machine's certificates.
    let archive = bench.data_dir().join("image.tar");
    let path = archive.to_str().expect("UTF-8");
    run("docker", &["save", "-o", path, &image.reference]);
    let layers = tar::Archive::new(std::fs::File::open(&archive).expect("the archive"))
        .entries()
        .expect("entries")
        .filter_map(|entry| {
            let entry = entry.expect("an entry");
            let name = entry.path().expect("a path").to_string_lossy().into_owned();
            if !name.ends_with("layer.tar") {
                return None;
            }
            Some(
                tar::Archive::new(entry)
                    .entries()
                    .expect("a layer")
                    .map(|file| {
                        let file = file.expect("a file");
                        file.path().expect("a path").to_string_lossy().into_owned()
                    })
                    .collect::<Vec<_>>(),
            )
        })
        .collect::<Vec<_>>();
    assert!(layers.len() >= 2, "there are layers to look into");
    for name in layers.iter().flatten() {
        let is_left = name.contains("holt-build")
            || name.ends_with("pip.conf")
            || name.ends_with("machine/ca.crt");
        assert!(!is_left, "{name} is left in a layer");
    }
    bench.clear().await;
}
