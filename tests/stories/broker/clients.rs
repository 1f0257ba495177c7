//! The libraries that people use beside pywikibot: each signed in by a few lines, reads in several answers, changes and uploads; and what
//! the hub does not send is told in words, whichever library asks.

use anyhow::{Result, ensure};
use holt_tests::docker;
use holt_tests::hub::Hub;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wiki::{Often, Place, Trouble};
use rustix::process::Signal;

use super::grant::apart;
use super::{NAME, SOON, acting, container};
use crate::wiki::KEY;

/// Twelve pages, so that a list comes in several answers.
const PAGES: &str = "import holt_broker\n\
    session = holt_broker.session('Filler/1.0 (filler@example.org)')\n\
    one = holt_broker.site()\n\
    for number in range(12):\n    \
        answer = session.put(f\"{one['origin']}{one['rest']}/v1/page/Page_{number:02}\", json={'source': 'x', 'comment': 'made'})\n    \
        assert answer.status_code == 201, answer.text\n";

const REQUESTS: &str = "import holt_broker\n\
    session = holt_broker.session('MyTool/1.0 (me@example.org)')\n\
    one = holt_broker.site(holt_broker.sites()[0]['origin'])\n\
    api, rest = one['origin'] + one['api'], one['origin'] + one['rest']\n\
    ask = lambda **named: session.get(api, params={'action': 'query', 'format': 'json', **named}).json()\n\
    print(ask(meta='userinfo')['query']['userinfo']['name'])\n\
    titles, more, answers = [], {}, 0\n\
    while more is not None:\n    \
        answer = ask(list='allpages', aplimit=5, **more)\n    \
        titles += [page['title'] for page in answer['query']['allpages']]\n    \
        answers, more = answers + 1, answer.get('continue')\n\
    print(len(titles), answers)\n\
    token = ask(meta='tokens', type='csrf')['query']['tokens']['csrftoken']\n\
    made = {'action': 'edit', 'title': 'By requests', 'text': 'é & +', 'summary': 'a + b', 'token': token, 'format': 'json'}\n\
    print(session.post(api, data=made).json()['edit']['result'])\n\
    sent = {'action': 'upload', 'filename': 'By_requests.png', 'token': token, 'format': 'json', 'ignorewarnings': '1'}\n\
    print(session.post(api, data=sent, files={'file': ('x', b'\\r\\n--png\\0')}).json()['upload']['result'])\n\
    print(session.get(rest + '/v1/page/By_requests').json()['source'])\n\
    changed = {'source': 'anew', 'comment': 'rest', 'latest': {'id': 7}}\n\
    print(session.put(rest + '/v1/page/By_requests', json=changed).status_code, session.get(rest + '/v1/page/Nowhere').status_code)\n";

const MWCLIENT: &str = "import holt_broker, io\n\
    site = holt_broker.mwclient()\n\
    print(site.username, site.logged_in)\n\
    print(len(list(site.allpages(api_chunk_size=5))))\n\
    page = site.pages['By mwclient']\n\
    print(page.edit('é & +', summary='a + b')['result'], site.pages['By mwclient'].text())\n\
    print(site.upload(io.BytesIO(b'small\\r'), 'By mwclient.png', 'words', ignore=True)['result'])\n\
    print(site.upload(io.BytesIO(bytes(range(256)) * 10240), 'Large.png', 'words', ignore=True)['upload']['result'])\n";

const MWAPI: &str = "import holt_broker\n\
    api = holt_broker.mwapi(agent='OtherTool/2 (me@example.org)')\n\
    print(api.get(action='query', meta='userinfo')['query']['userinfo']['name'])\n\
    answers = list(api.get(action='query', list='allpages', aplimit=5, continuation=True))\n\
    print(sum(len(answer['query']['allpages']) for answer in answers), len(answers))\n\
    token = api.get(action='query', meta='tokens', type='csrf')['query']['tokens']['csrftoken']\n\
    print(api.post(action='edit', title='By mwapi', text='é & +', summary='a + b', token=token)['edit']['result'])\n\
    print(api.post(action='upload', filename='By_mwapi.png', token=token, upload_file=b'bytes')['upload']['result'])\n";

#[tokio::test(flavor = "multi_thread")]
async fn requests_mwclient_and_mwapi_are_signed_in_by_one_line() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let limits = "requests_per_second = 1000\nburst = 1000\nconcurrent = 20";
        let (_hub, wiki, person) = acting(protocol, limits).await?;
        let mut kernel = Kernel::started(&person, "").await?;
        kernel.run(PAGES).await?;
        let said = kernel.run(REQUESTS).await?;
        let expected = format!("{NAME}\n12 3\nSuccess\nSuccess\né & +\n200 404");
        ensure!(said == expected, "{protocol}: {said}");
        let said = kernel.run(MWCLIENT).await?;
        let expected = format!("{NAME} True\n13\nSuccess é & +\nSuccess\nSuccess");
        ensure!(said == expected, "{protocol}: {said}");
        let said = kernel.run(MWAPI).await?;
        let expected = format!("{NAME}\n14 3\nSuccess\nSuccess");
        ensure!(said == expected, "{protocol}: {said}");
        let edits: Vec<_> = wiki.edits().split_off(12);
        let of: Vec<(&str, &str, &str)> = edits
            .iter()
            .map(|edit| {
                (
                    edit.title.as_str(),
                    edit.text.as_str(),
                    edit.summary.as_str(),
                )
            })
            .collect();
        ensure!(
            of == [
                ("By requests", "é & +", "a + b"),
                ("By requests", "anew", "rest"),
                ("By mwclient", "é & +", "a + b"),
                ("By mwapi", "é & +", "a + b"),
            ],
            "{of:?}"
        );
        // Wikis want to know which tool it is, and whose.
        for (edit, tool) in edits.iter().zip([
            "MyTool/1.0 (me@example.org) holt_broker",
            "MyTool/1.0",
            "mwclient/",
            "OtherTool/2 (me@example.org)",
        ]) {
            let start = "user/O%27Brien%20%28WMF%29 ";
            ensure!(
                edit.user == NAME
                    && edit.user_agent.starts_with("Holt/")
                    && edit.user_agent.contains(&format!("{start}{tool}")),
                "{edit:?}"
            );
        }
        let uploads: Vec<(String, usize, usize)> = wiki
            .uploads()
            .into_iter()
            .map(|upload| (upload.name, upload.content.len(), upload.pieces))
            .collect();
        ensure!(
            uploads
                == [
                    ("By_requests.png".to_owned(), 8, 1),
                    ("By_mwclient.png".to_owned(), 6, 1),
                    ("Large.png".to_owned(), 256 * 10240, 3),
                    ("By_mwapi.png".to_owned(), 5, 1),
                ],
            "{uploads:?}"
        );
        ensure!(
            wiki.uploads()[2]
                .content
                .chunks(256)
                .all(|row| row.iter().copied().eq(0..=255))
        );
    }
    Ok(())
}

/// Asks by every library, and prints the last line that a person sees of each.
const EVERYBODY: &str = "import holt_broker, traceback, mwclient, mwapi, pywikibot, logging\n\
    one = holt_broker.site()\n\
    origin, api = one['origin'], one['origin'] + one['api']\n\
    pywikibot.config.max_retries = 0\n\
    def said(do):\n    \
        try:\n        \
            print('answered', do())\n    \
        except Exception as error:\n        \
            print(traceback.format_exception_only(error)[-1].strip(), '|', getattr(error, 'code', None))\n\
    def everybody():\n    \
        session = holt_broker.session()\n    \
        said(lambda: session.get(api, params={'action': 'query', 'meta': 'userinfo', 'format': 'json'}).status_code)\n    \
        said(lambda: holt_broker.mwclient(max_retries=0).username)\n    \
        said(lambda: holt_broker.mwapi().get(action='query', meta='userinfo')['query'])\n    \
        said(lambda: pywikibot.Site().simple_request(action='query', meta='userinfo').submit()['query'])\n";

/// Checks that each library raised an error of its own kind with these words in it.
fn in_words(said: &str, words: &str) -> Result<()> {
    let lines: Vec<&str> = said.lines().filter(|line| line.contains(" | ")).collect();
    ensure!(
        lines.len() == 4 && lines.iter().all(|line| line.contains(words)),
        "not {words:?}: {said}"
    );
    for (line, kind) in lines.iter().zip([
        "holt_broker.Refused",
        "holt_broker.Refused",
        "mwapi.errors.RequestError",
        "pywikibot.exceptions.FatalServerError",
    ]) {
        ensure!(line.starts_with(kind), "not {kind}: {line}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_allowed_it_yet_is_told_where_by_every_library() -> Result<()> {
    let (hub, _wiki) = apart("oauth2", "scopes = [\"basic\", \"editpage\"]").await?;
    let person = Person::by_wiki(&hub, NAME).await?;
    person.start("").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    kernel.run(EVERYBODY).await?;
    let said = kernel.run("everybody()").await?;
    in_words(
        &said,
        "You have not allowed the hub to act on wikis for you",
    )?;
    in_words(&said, &format!("{}/hub/wiki", hub.url()))?;
    ensure!(said.matches("| needs_grant").count() == 2, "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_hub_does_not_send_is_told_in_words_by_every_library() -> Result<()> {
    let (hub, wiki, person) = acting("oauth2", "").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    kernel.run(EVERYBODY).await?;
    let said = kernel.run("everybody()").await?;
    ensure!(said.matches("answered").count() == 4, "{said}");
    // Stopped by its owner.
    let rows = hub.rows().await?;
    let launch = rows
        .texts("SELECT launch FROM broker_grants")
        .await?
        .remove(0);
    person
        .post(&format!("/hub/wiki/{launch}/stop"), &[])
        .await?;
    in_words(
        &kernel.run("everybody()").await?,
        "You stopped this server's requests to wikis.",
    )?;
    person
        .post(&format!("/hub/wiki/{launch}/allow"), &[])
        .await?;
    // A wiki that is none of the list; one that is nearly right is told.
    let said = kernel
        .run("said(lambda: holt_broker.mwclient('127.0.0.1:1')); said(lambda: holt_broker.site(origin + '7'))")
        .await?;
    ensure!(
        said.contains("'127.0.0.1:1' is no wiki that the hub sends requests to")
            && said.contains("did you mean 127.0.0.1:"),
        "{said}"
    );
    // An address of the wiki that is not called; parameters that are OAuth's.
    let said = kernel
        .run(
            "session = holt_broker.session()\n\
             said(lambda: session.get(origin + one['rest'] + '/oauth2/resource/profile'))\n\
             said(lambda: session.post(api, data={'action': 'login'}))\n\
             said(lambda: holt_broker.mwapi().login('Somebody', 'secret'))\n\
             said(lambda: session.get(api, params={'action': 'query', 'oauth_token': 'x'}))",
        )
        .await?;
    for words in [
        "holt_broker.Refused: This address is not called for you: nothing of OAuth is called for a notebook.",
        "holt_broker.Refused: This action is not sent for a notebook: it signs in or out",
        "mwapi.errors.RequestError: This action is not sent for a notebook",
        "holt_broker.Refused: A parameter of this request is not sent: OAuth's are the hub's own.",
    ] {
        ensure!(said.contains(words), "not {words:?}: {said}");
    }
    // The person took back at the wiki what they allowed: that also signs them out here, so a bot of theirs asks.
    let settings = broker_settings(&mut kernel).await?;
    wiki.expire_access_tokens();
    wiki.revoke(KEY, 7_000_003);
    let said = as_bot(&hub, &settings, &format!("{EVERYBODY}everybody()")).await?;
    in_words(
        &said,
        "The hub has no permission of the wiki to act for you",
    )?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_while_hub_or_wiki_are_away_waits_for_a_bounded_time_and_is_told() -> Result<()> {
    let limits = "requests_per_second = 5\nburst = 20\nconcurrent = 2";
    let (mut hub, wiki, person) = acting("oauth1", limits).await?;
    let mut kernel = Kernel::started(&person, "").await?;
    kernel.run(EVERYBODY).await?;
    kernel
        .run(
            "holt_broker.PATIENCE = 2.0\n\
             pywikibot.config.retry_wait = pywikibot.config.retry_max = 0\n\
             everybody()",
        )
        .await?;
    wiki.down()?;
    let said = kernel.run("everybody()").await?;
    wiki.up()?;
    let words = "The wiki was not reached, so nothing was done there.";
    let told: Vec<&str> = said.lines().filter(|line| line.contains(" | ")).collect();
    ensure!(told.len() == 4, "{said}");
    for (line, start) in told.iter().zip([
        &format!("holt_broker.NotReached: {words}"),
        &format!("holt_broker.NotReached: {words}"),
        &format!("mwapi.errors.TimeoutError: {words}"),
        // Its own words, after its own tries; ours stand above them.
        "pywikibot.exceptions.ApiTimeoutError",
    ]) {
        ensure!(line.starts_with(start), "not {start}: {said}");
    }
    // Far too fast.
    let said = kernel
        .run(
            "import concurrent.futures\n\
             def ask(number):\n    \
                 try:\n        \
                     return holt_broker.session().get(api, params={'action': 'query', 'meta': 'userinfo'}).status_code\n    \
                 except holt_broker.NotReached as error:\n        \
                     return str(error)\n\
             with concurrent.futures.ThreadPoolExecutor(60) as pool:\n    \
                 print(sorted(map(str, set(pool.map(ask, range(60))))))",
        )
        .await?;
    ensure!(
        said == "['200', 'You send more requests to wikis than one person may. Wait a little.']",
        "{said}"
    );
    // A change whose answer breaks off is not known to have failed, and pywikibot does not make it again.
    wiki.cause(
        Place::At("edit".to_owned()),
        Often::Times(1),
        Trouble::AnswerCut,
    );
    let said = kernel
        .run(
            "pywikibot.config.put_throttle = 0\n\
             page = pywikibot.Page(pywikibot.Site(), 'Cut')\npage.text = 'x'\n\
             said(page.save)",
        )
        .await?;
    ensure!(
        said.contains("The hub's answer was lost")
            && said.contains("look there before you ask again"),
        "{said}"
    );
    ensure!(wiki.edits().len() == 1, "{:?}", wiki.edits());
    // The hub hangs; then there is none at all, nor its proxy.
    let settings = broker_settings(&mut kernel).await?;
    hub.signal("hub", Signal::STOP)?;
    let said = as_bot(&hub, &settings, AWAY).await?;
    hub.signal("hub", Signal::CONT)?;
    ensure!(
        said == "ReadTimeout The hub's answer did not come\nOutcomeUnknown The hub's answer was lost\nin time, in memory",
        "{said}"
    );
    hub.kill_supervisor()?;
    hub.kill("hub")?;
    hub.kill("proxy")?;
    let said = as_bot(&hub, &settings, AWAY).await?;
    ensure!(
        said == "NotReached The hub does not answer, so nothing was sent\nNotReached The hub does not answer, so nothing was sent\n\
                 in time, in memory",
        "{said}"
    );
    hub.up().await?;
    hub.ready(SOON).await?;
    let said = Kernel::started(&person, "")
        .await?
        .run("import holt_broker; print(holt_broker.mwclient().username)")
        .await?;
    ensure!(said == NAME, "{said}");
    Ok(())
}

/// How a server's own processes find the broker.
async fn broker_settings(kernel: &mut Kernel) -> Result<String> {
    kernel
        .run(
            "import os\n\
             print(*[f'{name}={value}' for name, value in os.environ.items() if name.startswith('HOLT_BROKER')])",
        )
        .await
}

/// Runs a program in the hub's only container beside the server, as a bot that nobody's browser watches.
async fn as_bot(hub: &Hub, settings: &str, code: &str) -> Result<String> {
    let container = container(hub).await?;
    let mut line = vec!["env", "HOME=/tmp"];
    line.extend(settings.split(' '));
    line.extend(["python", "-c", code]);
    docker::exec(&container, &line).await
}

/// A program whose hub is not there: what its threads are told, and that it neither waits for long nor grows.
const AWAY: &str = "import holt_broker, requests, time, resource, threading\n\
    holt_broker.PATIENCE = holt_broker.HUB_SECONDS = 2.0\n\
    session = holt_broker.session()\n\
    one = holt_broker.site()\n\
    api = one['origin'] + one['api']\n\
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n\
    def told(method, **named):\n    \
        try:\n        \
            return session.request(method, api, timeout=1, **named).status_code\n    \
        except requests.RequestException as error:\n        \
            return type(error).__name__ + ' ' + str(error).partition('. If')[0].partition(' (')[0]\n\
    print(told('GET', params={'action': 'query'}))\n\
    print(told('POST', data={'action': 'edit', 'text': 'x' * 1000000}))\n\
    threads = [threading.Thread(target=told, args=('GET',)) for _ in range(50)]\n\
    [thread.start() for thread in threads]\n\
    [thread.join() for thread in threads]\n\
    took, grew = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n\
    print('in time, in memory' if took < 30 and grew < 40000 else (took, grew))\n";
