//! No credential of the wiki is in a container, unless the operator wants it there.

use anyhow::{Context as _, Result, ensure};
use holt_tests::docker::{self, docker};
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wiki::{Secret, Wiki};

use super::{NAME, container};
use crate::wiki::{KEY, SECRET, hub_with};

/// What the wiki gives when the person signs in; nothing of it may be found in a container.
fn known_secrets(wiki: &Wiki) -> [(Secret, &'static str); 4] {
    let secrets = [
        (Secret::AccessToken, "5f0aaccesskey0000000000000000a11"),
        (
            Secret::AccessSecret,
            "5ec4e7acce55000000000000000000000000a11c",
        ),
        (
            Secret::Bearer,
            "eyJ0bearer.of0the0person0whom0nobody0may0be.signature0",
        ),
        (
            Secret::RefreshToken,
            "def50200refresh0token0of0the0person0a11ce",
        ),
    ];
    for (secret, value) in secrets {
        wiki.give(secret, value);
    }
    secrets
}

/// Numbers of the machine's processes that run in a container.
async fn processes(container: &str) -> Result<Vec<u32>> {
    let table = docker(&["top", container, "-eo", "pid"]).await?;
    let pids = table
        .lines()
        .skip(1)
        .filter_map(|line| line.trim().parse().ok());
    Ok(pids.collect())
}

/// Whether any of these is in what a process can read of itself: environment, arguments, memory.
fn holds(pid: u32, wanted: &[&[u8]]) -> Result<(Vec<String>, usize)> {
    use std::os::unix::fs::FileExt as _;

    let mut found = Vec::new();
    let mut look = |place: &str, bytes: &[u8]| {
        for one in wanted {
            if memchr::memmem::find(bytes, one).is_some() {
                found.push(format!(
                    "{} in {place} of {pid}",
                    String::from_utf8_lossy(one)
                ));
            }
        }
    };
    for file in ["environ", "cmdline"] {
        look(file, &std::fs::read(format!("/proc/{pid}/{file}"))?);
    }
    let memory = std::fs::File::open(format!("/proc/{pid}/mem"))?;
    let mut read = 0;
    for line in std::fs::read_to_string(format!("/proc/{pid}/maps"))?.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else {
            continue;
        };
        if !rights.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').context("a range")?;
        let (start, end) = (
            u64::from_str_radix(start, 16)?,
            u64::from_str_radix(end, 16)?,
        );
        let mut bytes = vec![0; usize::try_from(end - start)?];
        // Some ranges cannot be read by anybody.
        if memory.read_exact_at(&mut bytes, start).is_ok() {
            read += bytes.len();
            look("memory", &bytes);
        }
    }
    Ok((found, read))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_of_the_wiki_is_in_a_container() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let others = "[broker]\nprovider = \"wiki\"\n";
        let (hub, wiki) = hub_with(protocol, others, "").await?;
        wiki.account(7_000_003, NAME);
        let secrets = known_secrets(&wiki);
        let person = Person::by_wiki(&hub, NAME).await?;
        person.start("").await?;
        let mut kernel = Kernel::started(&person, "").await?;
        let said = kernel
            .run(
                "import pywikibot, holt_broker\n\
                 page = pywikibot.Page(pywikibot.Site(), 'Sandbox')\npage.text = 'x'\npage.save()\n\
                 session = holt_broker.session()\n\
                 api = holt_broker.sites()[0]['origin'] + holt_broker.sites()[0]['api']\n\
                 print(session.get(api, params={'action': 'query', 'meta': 'userinfo', 'uiprop': 'rights', 'format': 'json'}).json())",
            )
            .await?;
        ensure!(said.contains(NAME) && wiki.edits().len() == 1, "{said}");
        let container = container(&hub).await?;
        let token = docker::exec(&container, &["cat", "/run/holt/broker/token"]).await?;
        ensure!(token.trim().len() == 43, "{token}");
        // The broker's own token is on tmpfs alone, and in the description of the container there is none of all that.
        let described = docker(&["inspect", &container]).await?;
        let mut wanted: Vec<&str> = secrets.iter().map(|(_, value)| *value).collect();
        wanted.extend([SECRET, KEY]);
        for one in wanted.iter().chain([&token.trim()]) {
            ensure!(
                !described.contains(one),
                "{one} is in the container's description"
            );
        }
        for one in &wanted {
            // What the image brought was there before anybody signed in.
            let places = "/home /run /tmp /var /srv /etc /dev/shm /opt/venv/etc";
            let line = format!("grep -rlsF -- {one} {places} || true");
            let files = docker::exec(&container, &["sh", "-c", &line]).await?;
            ensure!(files.trim().is_empty(), "{one} is in {files}");
        }
        let wanted: Vec<&[u8]> = wanted.iter().map(|one| one.as_bytes()).collect();
        let pids = processes(&container).await?;
        ensure!(pids.len() >= 2, "{pids:?}");
        let mut read = 0;
        for pid in pids {
            let (found, bytes) = holds(pid, &wanted)?;
            ensure!(found.is_empty(), "{protocol}: {found:?}");
            read += bytes;
        }
        ensure!(read > 64 << 20, "only {read} bytes of memory were read");
        let said = hub.said();
        for one in [
            secrets[0].1,
            secrets[1].1,
            secrets[2].1,
            secrets[3].1,
            token.trim(),
        ] {
            ensure!(!said.contains(one), "the log holds {one}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_may_give_what_paws_gave_and_is_told_what_that_means() -> Result<()> {
    let others = "[broker]\nprovider = \"wiki\"\npaws_environment = true\n";
    let (hub, wiki) = hub_with("oauth1", others, "").await?;
    let said = hub.holt(&["check"]).await?;
    ensure!(said.contains("broker.paws_environment is on"), "{said}");
    wiki.account(7_000_003, NAME);
    let secrets = known_secrets(&wiki);
    let person = Person::by_wiki(&hub, NAME).await?;
    person.start("").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    let said = kernel
        .run(
            "import os\nprint([os.environ[name] for name in ('CLIENT_ID', 'CLIENT_SECRET', 'ACCESS_KEY', 'ACCESS_SECRET', 'USER')])",
        )
        .await?;
    let expected = format!(
        "['{}', '{}', '{}', '{}', \"{NAME}\"]",
        KEY, SECRET, secrets[0].1, secrets[1].1
    );
    ensure!(said.trim() == expected, "{said}");
    let described = docker(&["inspect", &container(&hub).await?]).await?;
    for one in [SECRET, secrets[0].1, secrets[1].1] {
        ensure!(
            !described.contains(one),
            "{one} is in the container's description"
        );
    }
    Ok(())
}
