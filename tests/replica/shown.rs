//! What clients are shown by TLS: the operator's certificate, renewed while the gateway runs; and what `holt check` says of files.

use std::process::Command;

use crate::certificates::Authority;
use crate::world::{Plan, World, check};

fn asks(world: &World, authority: &Authority) -> Result<String, String> {
    let done = Command::new("mariadb")
        .args([
            "--no-defaults",
            "--protocol=tcp",
            "-hlocalhost",
            "-uha",
            "-ppa",
        ])
        .args(["--batch", "--skip-column-names", "--ssl-verify-server-cert"])
        .arg(format!("--ssl-ca={}", authority.file().display()))
        .arg(format!("-P{}", world.address.port()))
        .args([
            "enwiki_p",
            "-e",
            "select page_title from page where page_id = 4",
        ])
        .output()
        .unwrap();
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }
}

#[test]
fn the_operators_certificate_is_shown_and_a_renewed_one_after_it() {
    let (authority, next) = (Authority::new("shown"), Authority::new("shown next"));
    let files = authority.certify("localhost");
    let settings = format!(
        "tls = \"files\"\ntls_certificate_file = \"{}\"\ntls_key_file = \"{}\"",
        files.certificate.display(),
        files.key.display()
    );
    let mut world = World::new(Plan {
        settings: &settings,
        ..Plan::default()
    });
    assert_eq!(asks(&world, &authority).unwrap(), "enwiki_p_4");
    assert!(asks(&world, &next).unwrap_err().contains("certificate"));
    // Renewed, one file after the other: half of the new is not shown.
    let new = next.certify("localhost");
    std::fs::copy(&new.certificate, &files.certificate).unwrap();
    world.until("it is told that half is missing", |world| {
        world
            .log()
            .contains("does not belong to the certificate")
            .then_some(())
    });
    assert_eq!(asks(&world, &authority).unwrap(), "enwiki_p_4");
    std::fs::copy(&new.key, &files.key).unwrap();
    world.until("the new one is shown", |world| asks(world, &next).ok());
    assert!(
        asks(&world, &authority)
            .unwrap_err()
            .contains("certificate")
    );
}

#[test]
fn files_that_cannot_be_used_are_told_before_anything_runs() {
    let (authority, other) = (Authority::new("checked"), Authority::new("checked other"));
    let (files, others) = (authority.certify("localhost"), other.certify("localhost"));
    let rubbish = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(rubbish.path(), "rubbish").unwrap();
    let accounts = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(accounts.path(), "a b\n").unwrap();
    let config = |certificate: &std::path::Path, key: &std::path::Path, ca: &std::path::Path| {
        format!(
            "[replicas]\naccounts_file = \"{}\"\ntls = \"files\"\ntls_certificate_file = \"{}\"\ntls_key_file = \"{}\"\n[replica_section.s1]\nbackends = [\"127.0.0.1:3306\"]\ntls = \"verify\"\ntls_ca_file = \"{}\"\n",
            accounts.path().display(),
            certificate.display(),
            key.display(),
            ca.display()
        )
    };
    let ca = authority.file();
    let (code, told) = check(&config(&files.certificate, &files.key, &ca));
    assert_eq!(code, 0, "{told}");
    let nowhere = std::path::Path::new("/nowhere/at-all.pem");
    for (text, words) in [
        (
            config(nowhere, &files.key, &ca),
            "replicas.tls_certificate_file, /nowhere/at-all.pem, cannot be read",
        ),
        (
            config(&files.certificate, nowhere, &ca),
            "replicas.tls_key_file, /nowhere/at-all.pem, cannot be read",
        ),
        (
            config(rubbish.path(), &files.key, &ca),
            "holds no certificate",
        ),
        (
            config(&files.certificate, rubbish.path(), &ca),
            "holds no private key",
        ),
        (
            config(&files.certificate, &others.key, &ca),
            "does not belong to the certificate of replicas.tls_certificate_file",
        ),
        (
            config(&files.certificate, &files.key, nowhere),
            "[replica_section.s1]: the file of tls_ca_file, /nowhere/at-all.pem, cannot be read",
        ),
        (
            config(&files.certificate, &files.key, rubbish.path()),
            "[replica_section.s1]: the file of tls_ca_file",
        ),
    ] {
        let (code, told) = check(&text);
        assert_eq!(code, 64, "{told}");
        assert!(told.contains(words), "{told}");
    }
}
