//! pywikibot's families and languages, as the image and a site matrix have them: which are asked by the hub, which are not, and what a
//! person's own settings change.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use holt_tests::docker::{self, docker};
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wiki::{Consumer, Wiki};
use serde_json::{Value, json};

use super::{NAME, run};
use crate::wiki::{KEY, SECRET};

/// Families with all their wikis in the matrix.
const FAMILIES: [&str; 22] = [
    "abstract",
    "commons",
    "foundation",
    "incubator",
    "mediawiki",
    "meta",
    "outreach",
    "species",
    "wikibooks",
    "wikidata",
    "wikifunctions",
    "wikimania",
    "wikimediachapter",
    "wikinews",
    "wikipedia",
    "wikiquote",
    "wikisource",
    "wikitech",
    "wikiversity",
    "wikivoyage",
    "wiktionary",
    // A wiki that this pywikibot does not know: letters and digits of its host.
    "xyzwikipediaorg",
];

/// What tells a wiki of Wikimedia from the others that pywikibot knows.
const WIKIMEDIA: [&str; 13] = [
    ".wikipedia.org",
    ".wiktionary.org",
    ".wikibooks.org",
    ".wikinews.org",
    ".wikiquote.org",
    ".wikisource.org",
    ".wikiversity.org",
    ".wikivoyage.org",
    ".wikimedia.org",
    ".wikidata.org",
    ".mediawiki.org",
    ".wikifunctions.org",
    ".wikimediafoundation.org",
];

/// What `action=sitematrix` would answer: all of Wikimedia's wikis that pywikibot knows, one that it does not, and one that is private.
async fn matrix(image: &str) -> Result<Value> {
    let script = "import holt_broker; print(open(holt_broker.FAMILIES).read())";
    let all = docker(&["run", "--rm", "--entrypoint", "python", image, "-c", script]).await?;
    let hosts = all.lines().filter_map(|line| line.split(' ').nth(2));
    let mut sites: Vec<Value> = hosts
        .filter(|host| *host == "wikisource.org" || WIKIMEDIA.iter().any(|end| host.ends_with(end)))
        .map(|host| json!({ "url": format!("https://{host}") }))
        .collect();
    ensure!(sites.len() > 1000, "{all}");
    sites.push(json!({ "url": "https://xyz.wikipedia.org" }));
    sites.push(json!({ "url": "https://board.wikimedia.org", "private": "" }));
    Ok(json!({ "sitematrix": { "count": sites.len(), "specials": sites } }))
}

/// A hub that acts on all of them, and on the wiki of the tests.
async fn acting_everywhere(folder: &Path) -> Result<(Hub, Wiki, Person)> {
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    let file = folder.join("matrix.json");
    std::fs::write(&file, matrix(&image).await?.to_string())?;
    let mut hub = Hub::new(Wish::default().env("HOLT__PROVIDER__WIKI__CLIENT_SECRET", SECRET))?;
    let wiki = Wiki::start()?;
    let callback = format!("{}/hub/oauth_callback", hub.url());
    wiki.consumer(Consumer::oauth1(KEY, SECRET, &callback));
    wiki.account(7_000_003, NAME);
    hub.configure(&format!(
        "[docker]\nimage = \"{image}\"\n[access]\nallow_all = true\n\
         [broker]\nprovider = \"wiki\"\nsites = [\"{}\"]\nsites_file = {file:?}\n\
         [provider.wiki]\nprotocol = \"oauth1\"\nclient_id = \"{KEY}\"\nindex_url = \"{}\"\n",
        wiki.api_url(),
        wiki.index_url()
    ))?;
    hub.up().await?;
    let person = Person::by_wiki(&hub, NAME).await?;
    person.start("").await?;
    Ok((hub, wiki, person))
}

/// Looks at every family and code, without a network: by whom it would be asked, and as whom. Prints one JSON.
const EVERY: &str = r"
import collections, json, os, requests, warnings, holt_broker, pywikibot
warnings.simplefilter('ignore')
from pywikibot import config
from pywikibot.comms import http
from pywikibot.family import Family
listed = {one['origin'] for one in holt_broker.sites()}
# A site asks who it is as soon as it is made.
login, pywikibot.site.APISite.login = pywikibot.site.APISite.login, lambda site, **named: None
found, wrong, broken = collections.Counter(), [], []
for name in sorted(config.family_files):
    for code in Family.load(name).langs:
        site = pywikibot.Site(code, name)
        if site.code not in site.family.langs:
            # An alias of this pywikibot that leads nowhere.
            broken.append(f'{name}:{code}')
            continue
        url = site.base_url(site.apipath())
        origin = url.removesuffix(site.apipath())
        adapter = http.session.get_adapter(url)
        auth = http.get_authentication(url)
        goes = isinstance(adapter, holt_broker.Adapter) and adapter.is_for_hub(requests.Request('GET', url).prepare())
        is_ours = (auth, goes, site.username()) == (holt_broker.MARK, True, holt_broker.user())
        is_nobodys = (auth, goes, site.username()) == (None, False, None)
        if not (is_ours if origin in listed else is_nobodys):
            wrong.append([name, code, url, str(auth), goes, site.username()])
        found[(name, origin in listed)] += 1
pywikibot.site.APISite.login = login
print(json.dumps({'wrong': wrong, 'broken': broken, 'ours': [name for name, ours in found if ours], 'not': [name for name, ours in found if not ours],
    'count': sum(found.values())}))
";

#[tokio::test(flavor = "multi_thread")]
async fn every_family_and_language_of_the_list_is_asked_by_the_hub_and_no_other() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (_hub, _wiki, person) = acting_everywhere(folder.path()).await?;
    let mut kernel = Kernel::started(&person, "").await?;
    let said = kernel.run(EVERY).await?;
    let found: Value = said
        .lines()
        .find_map(|line| serde_json::from_str(line).ok())
        .with_context(|| said.clone())?;
    ensure!(found["wrong"] == json!([]), "{}", found["wrong"]);
    let broken = found["broken"].as_array().map_or(0, Vec::len);
    ensure!(
        found["count"].as_u64() > Some(1400) && broken < 100,
        "{found}"
    );
    let mut ours: Vec<&str> = found["ours"]
        .as_array()
        .context("a list")?
        .iter()
        .filter_map(Value::as_str)
        // The wiki of the tests, whose host is an address.
        .filter(|name| !name.starts_with("127"))
        .collect();
    ours.sort_unstable();
    ensure!(ours == FAMILIES, "{ours:?}");
    for name in ["osm", "wikihow", "vikidia", "betawikipedia", "lingualibre"] {
        ensure!(
            found["not"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one == name)),
            "{name} is not among {}",
            found["not"]
        );
    }
    // What is not in the list hears nothing of anybody: no name, no mark, no token.
    let said = kernel
        .run(
            "import http.server, threading\n\
             heard = []\n\
             class Stranger(http.server.BaseHTTPRequestHandler):\n    \
                 def do_GET(self):\n        \
                     heard.append(str(self.headers))\n        \
                     self.send_response(200)\n        \
                     self.end_headers()\n    \
                 def log_message(self, *words):\n        \
                     pass\n\
             stranger = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Stranger)\n\
             threading.Thread(target=stranger.serve_forever, daemon=True).start()\n\
             origin = f'http://127.0.0.1:{stranger.server_port}'\n\
             import pywikibot.comms.http, holt_broker\n\
             pywikibot.comms.http.fetch(origin + '/w/api.php')\n\
             pywikibot.comms.http.fetch(origin + '/w/api.php', auth=holt_broker.MARK)\n\
             holt_broker.session().get(origin + '/w/api.php')\n\
             token = open(os.environ['HOLT_BROKER_TOKEN_FILE']).read()\n\
             print(len(heard), any('uthorization' in one or 'Holt-' in one or token in one or 'Brien' in one for one in heard))",
        )
        .await?;
    ensure!(said == "3 False", "{said}");
    Ok(())
}

/// A wiki inside the container, at the address of the real one, that has an account with a bot password. All else it asks the real one, as
/// the person.
const OTHER: &str = r"
import http.server, json, threading, urllib.parse, holt_broker
one = next(one for one in holt_broker.sites() if one['origin'].startswith('http://'))
origin, api = one['origin'], one['origin'] + one['api']
forward, heard = holt_broker.session(), []
class Other(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        query = urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query)
        form = urllib.parse.parse_qsl(self.rfile.read(int(self.headers.get('Content-Length') or 0)).decode())
        fields, cookie = dict(query + form), None
        heard.append((fields.get('action'), self.headers.get('Authorization')))
        if fields.get('action') == 'login':
            is_right = (fields['lgname'], fields['lgpassword']) == ('Other bot@script', 'a' * 32)
            said = {'login': {'result': 'Success', 'lgusername': 'Other bot'} if is_right else {'result': 'Failed'}}
            cookie = 'session=other'
        elif fields.get('type') == 'login':
            said = {'query': {'tokens': {'logintoken': 'x+\\'}}}
        else:
            said = forward.request(self.command, api, params=query, data=form or None).json()
            userinfo = said.get('query', {}).get('userinfo')
            if userinfo and 'session=other' in (self.headers.get('Cookie') or ''):
                userinfo['name'] = 'Other bot'
            elif userinfo:
                userinfo.update(id=0, name='10.0.0.1', anon=True)
        body = json.dumps(said).encode()
        self.send_response(200)
        if cookie:
            self.send_header('Set-Cookie', cookie + '; Path=/')
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *words):
        pass
other = http.server.ThreadingHTTPServer(('127.0.0.1', int(origin.rpartition(':')[2])), Other)
threading.Thread(target=other.serve_forever, daemon=True).start()
family = holt_broker.family_of(one)
def settings(text):
    with open('/home/paws/user-config.py', 'w') as file:
        file.write(text)
";

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_own_settings_win_and_a_second_account_signs_in_by_itself() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (_hub, wiki, person) = acting_everywhere(folder.path()).await?;
    let mut kernel = Kernel::started(&person, "").await?;
    kernel.run(OTHER).await?;
    // Their own start, their own name in another spelling: still by the hub.
    kernel
        .run(
            "settings(f\"family = mylang = {family!r}\\nput_throttle = 3\\nusernames[{family!r}]['*'] = \\\"O'Brien_(WMF)\\\"\\n\")",
        )
        .await?;
    let ask = "timeout 50 python -c \"import pywikibot; site = pywikibot.Site(); site.login(); \
               print(site.family.name.isdigit(), site.user(), pywikibot.config.put_throttle)\"";
    let said = run(&mut kernel, ask).await?;
    ensure!(said.contains(&format!("True {NAME} 3")), "{said}");
    ensure!(kernel.run("print(heard)").await? == "[]");
    // A second account, by a bot password: as pywikibot's manual has it, with nothing about the hub.
    kernel
        .run(
            "settings(f\"family = mylang = {family!r}\\nusernames[{family!r}]['*'] = 'Other_bot'\\npassword_file = '/home/paws/passwords'\\n\")\n\
             import os\n\
             with open('/home/paws/passwords', 'w') as file:\n    \
                 file.write(\"('Other bot', BotPassword('script', '\" + 'a' * 32 + \"'))\\n\")\n\
             os.chmod('/home/paws/passwords', 0o600)",
        )
        .await?;
    wiki.forget_seen();
    let ask = "timeout 50 python -c \"import pywikibot; site = pywikibot.Site(); site.login(); print('it is', site.user(), '.'); \
               from pywikibot.comms.http import get_authentication as of; from holt_broker import name_at; \
               print(of(site.base_url('/w/api.php')), of('https://de.wikisource.org/w/api.php'), name_at(pywikibot.config.usernames, 'commons', 'commons'))\"";
    let said = run(&mut kernel, ask).await?;
    let said = format!("{said} {}", kernel.run("print(heard)").await?);
    ensure!(
        said.contains("it is Other bot .")
            && said.contains(&format!("None ('holt', 'holt', 'holt', 'holt') {NAME}")),
        "{said}"
    );
    let said = kernel
        .run("print('login' in [action for action, _ in heard], {signed for _, signed in heard})")
        .await?;
    ensure!(said == "True {None}", "{said}");
    ensure!(wiki.count("login") == 0, "the hub was asked to sign in");
    // A credential of their own, for a whole family; another one, and a name, for one wiki.
    kernel
        .run(
            "settings(\"authenticate['*.wikipedia.org'] = ('a', 'b', 'c', 'd')\\nusernames['wiktionary']['de'] = 'Other bot'\\n\")",
        )
        .await?;
    let ask = "timeout 50 python -c \"from pywikibot.comms.http import get_authentication as of; from holt_broker import name_at; import pywikibot; \
               print(*[(of(f'https://{host}/w/api.php') or 'n')[0] for host in \
               ('en.wikipedia.org', 'xyz.wikipedia.org', 'de.wiktionary.org', 'en.wiktionary.org', 'commons.wikimedia.org')], \
               name_at(pywikibot.config.usernames, 'wiktionary', 'de'))\"";
    let said = run(&mut kernel, ask).await?;
    ensure!(said.contains("0 a a n holt holt Other bot"), "{said}");
    Ok(())
}
