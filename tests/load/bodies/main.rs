//! How much memory a large file takes on its way between a notebook and a wiki: in the hub, in the proxy, and in the program that sends it.
//!
//! The notebook is a container of the image. Each way is one process in it, which says how much it grew by; hub and proxy are looked at from
//! outside. A way that holds the file anywhere fails.

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use holt_tests::docker;
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wiki::{Consumer, Often, Place, Trouble, Wiki};

const KEY: &str = "ff68fd86be55839e0bc4db271de8860c";
const SECRET: &str = "707b147bc75e3b420d4220edb2da8d3d6bd70d40";
const MIB: u64 = 1 << 20;
/// How much a process may grow by, whatever the size of the file.
const TARGET: u64 = 32 * MIB;

/// Memory that large files take on their way to and from a wiki.
#[derive(Debug, Parser)]
struct Arguments {
    /// Mebibytes of the file.
    #[arg(long, default_value_t = 100)]
    mebibytes: u64,
    /// Also by a consumer of OAuth 2.0, not of 1.0a alone.
    #[arg(long)]
    both: bool,
}

/// A way, and the program that takes it. It has `session`, `api`, `token`, `path` and `size`.
const WAYS: [(&str, &str); 4] = [
    (
        "up, one body that streams",
        "def body():\n    \
             fields = {'action': 'upload', 'filename': 'Large.png', 'token': token, 'format': 'json', 'ignorewarnings': '1'}\n    \
             for name, value in fields.items():\n        \
                 yield f'--b\\r\\nContent-Disposition: form-data; name=\"{name}\"\\r\\n\\r\\n{value}\\r\\n'.encode()\n    \
             yield b'--b\\r\\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\\r\\n\\r\\n'\n    \
             with open(path, 'rb') as file:\n        \
                 while piece := file.read(65536):\n            \
                     yield piece\n    \
             yield b'\\r\\n--b--\\r\\n'\n\
         grown()\n\
         answer = session.post(api, data=body(), headers={'Content-Type': 'multipart/form-data; boundary=b'})\n\
         assert answer.json()['upload']['result'] == 'Success', answer.text\n",
    ),
    (
        "up, pywikibot in pieces",
        "import pywikibot\n\
         page = pywikibot.FilePage(pywikibot.Site(), 'File:Large.png')\n\
         pywikibot.Site().login()\n\
         grown()\n\
         assert page.upload(path, comment='large', ignore_warnings=True, chunk_size=1 << 20)\n",
    ),
    (
        "up, mwclient in pieces",
        "site = holt_broker.mwclient()\n\
         grown()\n\
         with open(path, 'rb') as file:\n    \
             assert site.upload(file, 'Large.png', 'words', ignore=True)['upload']['result'] == 'Success'\n",
    ),
    (
        "down, an answer that streams",
        "grown()\n\
         answer = session.get(api, params={'action': 'query', 'meta': 'siteinfo'}, stream=True)\n\
         assert sum(map(len, answer.iter_content(65536))) == size\n",
    ),
];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let protocols: &[&str] = if arguments.both {
        &["oauth1", "oauth2"]
    } else {
        &["oauth1"]
    };
    println!(
        "{} MiB; growth in MiB (target {} each)",
        arguments.mebibytes,
        TARGET / MIB
    );
    let mut is_good = true;
    for protocol in protocols {
        is_good &= measure(protocol, arguments.mebibytes).await?;
    }
    ensure!(is_good, "something holds the file");
    Ok(())
}

/// Takes every way once, and says whether none held the file.
async fn measure(protocol: &str, mebibytes: u64) -> Result<bool> {
    let (hub, wiki, person) = prepared(protocol).await?;
    let mut kernel = Kernel::started(&person, "").await?;
    let size = mebibytes * MIB;
    kernel
        .run(&format!(
            "with open('large.png', 'wb') as file:\n    for _ in range({mebibytes}):\n        file.write(bytes(range(256)) * 4096)"
        ))
        .await?;
    let mut is_good = true;
    for (name, program) in WAYS {
        let done = wiki.uploads().len();
        if name.starts_with("down") {
            let bytes = usize::try_from(size)?;
            wiki.cause(
                Place::At("siteinfo".to_owned()),
                Often::Times(1),
                Trouble::Endless { bytes },
            );
        }
        let (hub_before, proxy_before) = (rest(&hub, "hub")?, rest(&hub, "proxy")?);
        let code = format!("{BEGIN}size = {size}\n{program}grown('grew by')\n");
        let said = kernel
            .run(&format!(
                "import subprocess, sys\ndone = subprocess.run([sys.executable, '-c', {code:?}], capture_output=True, text=True)\n\
                 print(done.stdout, done.stderr[-2000:] if done.returncode else '')"
            ))
            .await?;
        let program = said
            .rsplit_once("grew by ")
            .with_context(|| said.clone())?
            .1
            .trim()
            .parse::<u64>()?;
        let grew = [
            peak(&hub, "hub")?.saturating_sub(hub_before),
            peak(&hub, "proxy")?.saturating_sub(proxy_before),
            program,
        ];
        println!(
            "{protocol}, {name:>30}: hub {}, proxy {}, program {}",
            grew[0] / MIB,
            grew[1] / MIB,
            grew[2] / MIB
        );
        is_good &= grew.iter().all(|grew| *grew < TARGET);
        let uploads = wiki.uploads();
        if name.starts_with("up") {
            ensure!(
                uploads.len() == done + 1 && uploads[done].content.len() as u64 == size,
                "{name}: the file is not there"
            );
        }
    }
    Ok(is_good)
}

/// What every program begins with.
const BEGIN: &str = "import resource, holt_broker\n\
    session = holt_broker.session()\n\
    one = holt_broker.site()\n\
    api, path = one['origin'] + one['api'], 'large.png'\n\
    token = session.get(api, params={'action': 'query', 'meta': 'tokens', 'type': 'csrf', 'format': 'json'}).json()['query']['tokens']['csrftoken']\n\
    rests = []\n\
    def grown(word=None):\n    \
        rests.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)\n    \
        if word:\n        \
            print(word, rests[-1] - rests[0])\n";

async fn prepared(protocol: &str) -> Result<(Hub, Wiki, Person)> {
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    let mut hub = Hub::new(Wish::default().env("HOLT__PROVIDER__WIKI__CLIENT_SECRET", SECRET))?;
    let wiki = Wiki::start()?;
    let callback = format!("{}/hub/oauth_callback", hub.url());
    wiki.consumer(match protocol {
        "oauth1" => Consumer::oauth1(KEY, SECRET, &callback),
        _ => Consumer::oauth2(KEY, SECRET, &callback),
    });
    wiki.account(7_000_003, "Ordinary user");
    hub.configure(&format!(
        "[docker]\nimage = \"{image}\"\n[access]\nallow_all = true\n\
         [broker]\nprovider = \"wiki\"\nrequests_per_second = 1000\nburst = 1000\n\
         [provider.wiki]\nprotocol = \"{protocol}\"\nclient_id = \"{KEY}\"\nindex_url = \"{}\"\n",
        wiki.index_url()
    ))?;
    hub.up().await?;
    let person = Person::by_wiki(&hub, "Ordinary user").await?;
    person.start("").await?;
    Ok((hub, wiki, person))
}

/// What a process holds now, and from which its peak is counted.
fn rest(hub: &Hub, role: &str) -> Result<u64> {
    let pid = hub.pid_of(role)?.as_raw_nonzero();
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("clear_refs")?;
    field(hub, role, "VmRSS:")
}

/// The most that it held since then.
fn peak(hub: &Hub, role: &str) -> Result<u64> {
    field(hub, role, "VmHWM:")
}

fn field(hub: &Hub, role: &str, name: &str) -> Result<u64> {
    let pid = hub.pid_of(role)?.as_raw_nonzero();
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no such line")?.parse::<u64>()? * 1024)
}
