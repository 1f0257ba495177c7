//! Acting on wikis from a notebook: pywikibot and plain requests as the person who signed in, with nothing secret in the container.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use holt_tests::docker::{self, docker};
use holt_tests::hub::Hub;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use holt_tests::wiki::{Often, Place, Secret, Trouble, Wiki};

use crate::wiki::hub_with;

const SOON: Duration = Duration::from_secs(40);
const NAME: &str = "O'Brien (WMF)";

/// A hub that acts on the wiki for its people, and one of them whose server runs.
async fn acting(protocol: &str, broker: &str) -> Result<(Hub, Wiki, Person)> {
    let others = format!("[broker]\nprovider = \"wiki\"\n{broker}");
    let (hub, wiki) = hub_with(protocol, &others, "").await?;
    wiki.account(7_000_003, NAME);
    let person = Person::by_wiki(&hub, NAME).await?;
    person.start("").await?;
    Ok((hub, wiki, person))
}

/// The only container of the hub.
async fn container(hub: &Hub) -> Result<String> {
    let all = hub.containers().await?;
    ensure!(all.len() == 1, "{all:?}");
    Ok(all[0].name.clone())
}

/// Runs a shell's line as the server's own processes run it.
async fn run(kernel: &mut Kernel, line: &str) -> Result<String> {
    let code = format!(
        "import subprocess\ndone = subprocess.run({line:?}, shell=True, capture_output=True, text=True)\n\
         print(done.returncode, done.stdout[-3000:], done.stderr[-3000:])"
    );
    kernel.run(&code).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pywikibot_is_the_person_who_signed_in() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let (hub, wiki, person) = acting(protocol, "").await?;
        let mut kernel = Kernel::started(&person, "").await?;
        let said = run(&mut kernel, "pwb login").await?;
        ensure!(
            said.contains("Logged in on") && said.contains(NAME),
            "{protocol}: {said}"
        );
        let said = kernel
            .run(
                "import pywikibot\n\
                 page = pywikibot.Page(pywikibot.Site(), 'Sandbox')\n\
                 page.text = 'Ünïcode & = + % ~ text\\n'\n\
                 page.save(summary='Trying + out')\n\
                 print(pywikibot.Site().user())",
            )
            .await?;
        ensure!(said.contains(NAME), "{protocol}: {said}");
        let edits = wiki.edits();
        ensure!(edits.len() == 1, "{protocol}: {edits:?} {said}");
        ensure!(
            edits[0].user == NAME
                && edits[0].title == "Sandbox"
                && edits[0].text.trim() == "Ünïcode & = + % ~ text"
                && edits[0].summary == "Trying + out",
            "{edits:?}"
        );
        let agent = &edits[0].user_agent;
        ensure!(
            agent.starts_with("Holt/")
                && agent.contains("user/O%27Brien%20%28WMF%29")
                && agent.contains("Pywikibot/"),
            "{agent}"
        );
        let _ = hub;
    }
    Ok(())
}

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
        wanted.extend([crate::wiki::SECRET, crate::wiki::KEY]);
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
async fn a_file_is_uploaded_and_a_script_makes_a_thousand_requests() -> Result<()> {
    let (hub, wiki, person) = acting(
        "oauth1",
        "requests_per_second = 2000\nburst = 2000\nconcurrent = 50",
    )
    .await?;
    let mut kernel = Kernel::started(&person, "").await?;
    // Three mebibytes: more than the proxy holds, so it streams.
    let said = kernel
        .run(
            "import pywikibot\n\
             content = bytes(range(256)) * 4096 * 3\n\
             open('picture.png', 'wb').write(content)\n\
             page = pywikibot.FilePage(pywikibot.Site(), 'File:Picture.png')\n\
             print(page.upload('picture.png', comment='Trying out', ignore_warnings=True, chunk_size=0))",
        )
        .await?;
    let uploads = wiki.uploads();
    ensure!(uploads.len() == 1, "{said}");
    ensure!(uploads[0].name == "Picture.png" && uploads[0].user == NAME);
    let content: Vec<u8> = (0..=255).cycle().take(256 * 4096 * 3).collect();
    ensure!(
        uploads[0].content == content,
        "{} bytes",
        uploads[0].content.len()
    );
    wiki.forget_seen();
    let script = "import pywikibot\n\
                  pywikibot.config.minthrottle = 0\n\
                  site = pywikibot.Site()\n\
                  site.login()\n\
                  for number in range(1000):\n    \
                      site.simple_request(action='query', meta='siteinfo', siprop='general', maxlag=5, tick=number % 7).submit()\n\
                  print('a thousand as', site.user())\n";
    kernel
        .run(&format!("open('many.py', 'w').write({script:?})"))
        .await?;
    let said = run(&mut kernel, "pwb many").await?;
    ensure!(said.contains("a thousand as"), "{said}");
    let asked = wiki
        .seen()
        .iter()
        .filter(|seen| seen.what.contains("siteinfo"))
        .count();
    ensure!(asked >= 1000, "{asked}");
    let rows = hub.rows().await?;
    eventually(
        "they are written down, and no more than are kept",
        SOON,
        || async {
            let count = rows.count("SELECT count(*) FROM wiki_actions").await;
            match count {
                Ok(1000) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        },
    )
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_ran_out_is_renewed_once_however_many_ask() -> Result<()> {
    let (_hub, wiki, person) = acting("oauth2", "concurrent = 40").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    wiki.expire_access_tokens();
    wiki.forget_seen();
    let said = kernel
        .run(
            "import concurrent.futures, holt_broker\n\
             session = holt_broker.session()\n\
             api = holt_broker.sites()[0]['origin'] + holt_broker.sites()[0]['api']\n\
             def ask(number):\n    \
                 data = {'action': 'query', 'meta': 'userinfo', 'uiprop': 'rights', 'format': 'json'}\n    \
                 return session.post(api, data=data).json()['query']['userinfo']['name']\n\
             with concurrent.futures.ThreadPoolExecutor(30) as pool:\n    \
                 print(set(pool.map(ask, range(30))))",
        )
        .await?;
    ensure!(said.trim() == format!("{{\"{NAME}\"}}"), "{said}");
    ensure!(
        wiki.count("access_token") == 1,
        "{} refreshes",
        wiki.count("access_token")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_done_is_not_done_again() -> Result<()> {
    let (hub, wiki, person) = acting("oauth1", "timeout = \"20s\"").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    let save = |text: &str| {
        format!(
            "import pywikibot\n\
             pywikibot.config.put_throttle = 0\n\
             page = pywikibot.Page(pywikibot.Site(), 'Sandbox')\npage.text = {text:?}\n\
             try:\n    page.save()\n    print('saved')\n\
             except Exception as error:\n    print(type(error).__name__, error)"
        )
    };
    ensure!(kernel.run(&save("first")).await?.contains("saved"));
    // It is done and the answer is lost.
    wiki.cause(
        Place::At("edit".to_owned()),
        Often::Times(1),
        Trouble::AnswerLost,
    );
    let said = kernel.run(&save("second")).await?;
    ensure!(said.contains("may have done what was asked"), "{said}");
    ensure!(wiki.edits().len() == 2, "{:?}", wiki.edits());
    // Reading is asked again, without anybody noticing.
    wiki.cause(
        Place::At("tokens".to_owned()),
        Often::Times(1),
        Trouble::AnswerLost,
    );
    let said = kernel
        .run(
            "import holt_broker\n\
             api = holt_broker.sites()[0]['origin'] + holt_broker.sites()[0]['api']\n\
             print(holt_broker.session().get(api, params={'action': 'query', 'meta': 'tokens', 'type': 'csrf'}).status_code)",
        )
        .await?;
    ensure!(said.trim() == "200", "{said}");
    // Not reached: it waits until it is, and is done once.
    wiki.down()?;
    let saving = async {
        let said = kernel.run(&save("third")).await?;
        ensure!(said.contains("saved"), "{said}");
        anyhow::Ok(())
    };
    let back = async {
        eventually("the wiki was asked in vain", SOON, || async {
            let rows = hub.rows().await.map_err(|error| format!("{error:#}"))?;
            let count = rows
                .count("SELECT count(*) FROM wiki_actions WHERE code = 'away'")
                .await;
            match count {
                Ok(1..) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
        wiki.up()
    };
    tokio::try_join!(saving, back)?;
    ensure!(wiki.edits().len() == 3, "{:?}", wiki.edits());
    // The hub ends while the wiki thinks.
    wiki.forget_seen();
    wiki.cause(Place::At("edit".to_owned()), Often::Always, Trouble::Hangs);
    let saving = async { kernel.run(&save("fourth")).await };
    let killing = async {
        eventually("the edit is under way", SOON, || async {
            if wiki.count("edit") == 1 {
                Ok(())
            } else {
                Err(wiki.count("edit"))
            }
        })
        .await?;
        hub.kill("hub")?;
        anyhow::Ok(())
    };
    let (said, ()) = tokio::try_join!(saving, killing)?;
    ensure!(said.contains("look there before you ask again"), "{said}");
    ensure!(wiki.count("edit") == 1, "{} times", wiki.count("edit"));
    wiki.cure();
    hub.ready(SOON).await?;
    let said = kernel.run(&save("fifth")).await?;
    ensure!(said.contains("saved"), "{said}");
    Ok(())
}

/// Code for a notebook: asks the broker as anybody could, and prints status and outcome.
const RAW: &str = "import os, requests, holt_broker\n\
    token = open(os.environ['HOLT_BROKER_TOKEN_FILE']).read()\n\
    api = holt_broker.sites()[0]['origin'] + holt_broker.sites()[0]['api']\n\
    rest = holt_broker.sites()[0]['origin'] + holt_broker.sites()[0]['rest']\n\
    def raw(url, method='GET', token=token, headers={}, **more):\n    \
        headers = {'Authorization': 'Bearer ' + token, 'Holt-Method': method, 'Holt-Url': url, **headers}\n    \
        answer = requests.post(os.environ['HOLT_BROKER_URL'], headers=headers, allow_redirects=False, **more)\n    \
        return answer.status_code, answer.headers.get('Holt-Outcome')\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_notebook_gets_nothing_but_its_own_api() -> Result<()> {
    let (hub, wiki, person) = acting(
        "oauth1",
        "requests_per_second = 5\nburst = 20\nconcurrent = 3",
    )
    .await?;
    wiki.account(7_000_004, "Other user");
    let other = Person::by_wiki(&hub, "Other user").await?;
    other.start("").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    let mut others = Kernel::started(&other, "").await?;
    kernel.run(RAW).await?;
    others.run(RAW).await?;
    wiki.forget_seen();
    // Addresses, parameters, methods.
    let said = kernel
        .run(
            "urls = [\n\
                 'https://en.wikipedia.org/w/api.php', api.replace('/w/api.php', '.evil.example/w/api.php'), api.replace('http://', 'http://x@'),\n\
                 api.replace('/w/api.php', '@evil.example/w/api.php'), api.replace('127.0.0.1', 'localhost'), api.replace('http:', 'https:'),\n\
                 api.replace('api.php', 'index.php?title=Special:OAuth/identify'), api.replace('api.php', '../w/index.php'),\n\
                 api + '/../index.php', api + '?title=Special:OAuth/identify', api + '?oauth_token=x', api + '?action=query&action=edit',\n\
                 rest + '/oauth2/resource/profile', rest + '/%6fauth2/resource/profile', rest + '/v1/%2e%2e/oauth2/access_token', api + '#x',\n\
                 api + '?action=centralauthtoken', api + '?action=clientlogin', 'file:///etc/passwd', 'http://169.254.169.254/', '', 'x' * 30000,\n\
             ]\n\
             print({raw(url) for url in urls})\n\
             print(raw(api, 'CONNECT'), raw(api, 'PUT'), raw(api, 'GET /x HTTP/1.1'), raw(api, token='x' * 43), raw(api, token=''))\n\
             print(raw(api + '?action=query', 'POST', data={'action': 'edit'}), raw(api, 'POST', files={'x': b'y'}, data={'action': 'login'}))",
        )
        .await?;
    let mut lines = said.lines();
    ensure!(lines.next() == Some("{(400, 'not-sent')}"), "{said}");
    ensure!(
        lines.next()
            == Some(
                "(400, 'not-sent') (400, 'not-sent') (400, 'not-sent') (403, 'not-sent') (403, 'not-sent')"
            ),
        "{said}"
    );
    ensure!(
        lines.next() == Some("(400, 'not-sent') (400, 'not-sent')"),
        "{said}"
    );
    ensure!(wiki.seen().is_empty(), "{:?}", wiki.seen());
    // What goes along, and what comes back.
    let said = kernel
        .run(
            "headers = {'Cookie': 'a=b', 'X-Forwarded-For': '6.6.6.6', 'X-Holt-Listener': 'public', 'Transfer-Encoding': 'x'}\n\
             headers.pop('Transfer-Encoding')\n\
             print(raw(api + '?action=query&meta=userinfo&uiprop=rights', headers=headers))",
        )
        .await?;
    ensure!(said.trim() == "(200, 'answered')", "{said}");
    // A redirect is not followed.
    wiki.forget_seen();
    let to = format!("{}/w/index.php?title=Special:OAuth/identify", wiki.url());
    wiki.cause(
        Place::At("siteinfo".to_owned()),
        Often::Times(1),
        Trouble::Moved { status: 302, to },
    );
    let said = kernel
        .run("print(raw(api + '?action=query&meta=siteinfo&siprop=general'))")
        .await?;
    ensure!(said.trim() == "(302, 'answered')", "{said}");
    ensure!(wiki.count("identify") == 0 && wiki.seen().len() == 1);
    // Somebody else's token, and from outside.
    let token = kernel.run("print(token)").await?;
    let said = others
        .run(&format!(
            "print(raw(api + '?action=query', token={:?}))",
            token.trim()
        ))
        .await?;
    ensure!(said.trim() == "(403, 'not-sent')", "{said}");
    let outside = person
        .post("/hub/api/broker", &[("x", "y")])
        .await?
        .status();
    ensure!(outside == 404, "{outside}");
    // Flooding: this one waits or is refused, the other one does not notice.
    let flooding = kernel.run(
        "import concurrent.futures\n\
         with concurrent.futures.ThreadPoolExecutor(60) as pool:\n    \
             answers = list(pool.map(lambda number: raw(api + '?action=query&meta=tokens&type=csrf'), range(60)))\n\
         print(sorted(set(answers)))",
    );
    let quiet = async {
        let mut slowest = 0.0_f64;
        for _ in 0..10 {
            let took = others
                .run("import time\nbegun = time.monotonic()\nassert raw(api + '?action=query&meta=tokens&type=csrf')[0] == 200\nprint(time.monotonic() - begun)")
                .await?;
            slowest = slowest.max(took.trim().parse()?);
        }
        anyhow::Ok(slowest)
    };
    let (flood, slowest) = tokio::try_join!(flooding, quiet)?;
    ensure!(
        flood.trim() == "[(200, 'answered'), (429, 'not-sent')]",
        "{flood}"
    );
    ensure!(slowest < 1.0, "the other one waited {slowest} s");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_stops_and_allows_what_their_server_sends() -> Result<()> {
    let (hub, wiki, person) = acting("oauth2", "").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    kernel.run(RAW).await?;
    let ask = "print(raw(api + '?action=query&meta=userinfo&uiprop=rights'))";
    ensure!(kernel.run(ask).await?.trim() == "(200, 'answered')");
    let shows = async |words: &str| {
        eventually("the page says it", SOON, || async {
            let page = async { anyhow::Ok(person.open("/hub/wiki").await?.text().await?) };
            let text = page.await.map_err(|error| format!("{error:#}"))?;
            if text.contains(words) {
                Ok(())
            } else {
                Err(text)
            }
        })
        .await
    };
    shows("<strong>query</strong>").await?;
    let rows = hub.rows().await?;
    let launch = rows
        .texts("SELECT launch FROM broker_grants")
        .await?
        .remove(0);
    person
        .post(&format!("/hub/wiki/{launch}/stop"), &[])
        .await?;
    ensure!(kernel.run(ask).await?.trim() == "(403, 'not-sent')");
    shows("stopped: nothing is sent").await?;
    // Nobody else allows it, and the server itself does not.
    let said = kernel
        .run(&format!(
            "headers = {{'Authorization': 'token ' + os.environ['JUPYTERHUB_API_TOKEN']}}\n\
             print(requests.delete(os.environ['JUPYTERHUB_API_URL'] + '/broker/halts/{launch}', headers=headers).status_code)"
        ))
        .await?;
    ensure!(said.trim() == "403", "{said}");
    wiki.account(7_000_004, "Other user");
    let other = Person::by_wiki(&hub, "Other user").await?;
    other
        .post(&format!("/hub/wiki/{launch}/allow"), &[])
        .await?;
    ensure!(kernel.run(ask).await?.trim() == "(403, 'not-sent')");
    person
        .post(&format!("/hub/wiki/{launch}/allow"), &[])
        .await?;
    ensure!(kernel.run(ask).await?.trim() == "(200, 'answered')");
    // An ordinary sign-out does not stop a bot.
    let container = container(&hub).await?;
    let url = kernel.run("print(os.environ['HOLT_BROKER_URL'])").await?;
    let line = format!(
        "import json, requests; token = open('/run/holt/broker/token').read(); \
         site = json.load(open('/run/holt/broker/sites.json'))['sites'][0]; \
         headers = {{'Authorization': 'Bearer ' + token, 'Holt-Method': 'GET', 'Holt-Url': site['origin'] + site['api'] + '?action=query'}}; \
         answer = requests.post({:?}, headers=headers); print(answer.status_code, answer.headers.get('Holt-Outcome'))",
        url.trim()
    );
    let bot = async || docker::exec(&container, &["python3", "-c", &line]).await;
    person.open("/hub/logout").await?;
    ensure!(person.who().await.is_err());
    let said = bot().await?;
    ensure!(said.trim() == "200 answered", "{said}");
    // Signing out everywhere does, at once, while the container still ends.
    let again = Person::by_wiki(&hub, NAME).await?;
    docker(&["pause", &container]).await?;
    again.post("/hub/sessions/end", &[]).await?;
    docker(&["unpause", &container]).await?;
    if let Ok(said) = bot().await {
        ensure!(said.trim() == "403 not-sent", "{said}");
    }
    eventually("its token is gone", SOON, || async {
        match rows.count("SELECT count(*) FROM broker_grants").await {
            Ok(0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
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
        crate::wiki::KEY,
        crate::wiki::SECRET,
        secrets[0].1,
        secrets[1].1
    );
    ensure!(said.trim() == expected, "{said}");
    let described = docker(&["inspect", &container(&hub).await?]).await?;
    for one in [crate::wiki::SECRET, secrets[0].1, secrets[1].1] {
        ensure!(
            !described.contains(one),
            "{one} is in the container's description"
        );
    }
    Ok(())
}
