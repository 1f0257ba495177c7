"""Requests to wikis as the person who signed in, without a secret in this container.

    import holt_broker
    session = holt_broker.session("MyTool/1.0")
    session.get("https://en.wikipedia.org/w/api.php", params={"action": "query", "meta": "userinfo", "format": "json"}).json()

    site = holt_broker.mwclient("en.wikipedia.org")
    api = holt_broker.mwapi("en.wikipedia.org")

The session is one of `requests`, so it goes into other libraries too. What it asks of `api.php` and `rest.php` of a wiki that the hub
knows goes through the hub, which signs it; everything else goes its usual way, as nobody. pywikibot is set up by the image's
`user-config.py`.

What the hub does not send is `Refused`, with its words; where the person has to allow it first, `url` is the page to do so. Where hub or wiki
are away for a minute it is `NotReached`: nothing was done. A request that may have been carried out is never sent twice: `OutcomeUnknown`
says that the wiki gave no answer. Look there first.
"""

import json
import os
import time
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.adapters import HTTPAdapter

import holt_late

__all__ = ["Adapter", "NotReached", "OutcomeUnknown", "Refused", "mwapi", "mwclient", "session", "site", "sites", "user"]

# What pywikibot is told to sign with. It is no secret: it says that the hub shall sign instead.
MARK = ("holt", "holt", "holt", "holt")
# Modules of the API that only read: asking twice is as asking once.
READS = frozenset(
    "checktoken compare expandtemplates feedrecentchanges help languagesearch opensearch paraminfo parse query sitematrix "
    "templatedata wbformatvalue wbgetclaims wbgetentities wbparsevalue wbsearchentities".split()
)
# How long a request that certainly was not sent is tried again.
PATIENCE = 60.0
# The hub's own waiting, before the wiki is asked: for a turn, for memory, for a hub that starts. Callers count the wiki's time only.
HUB_SECONDS = 30.0
# How long an answer may take where the caller does not say; more than the hub gives a wiki.
ANSWER_SECONDS = 600.0
ANSWERED, NOT_SENT, UNKNOWN = "answered", "not-sent", "unknown"
# What pywikibot's families are, as `family code host`, one a line; made with the image.
FAMILIES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "holt_families.txt")
# The wiki that is meant where none is said and there are several, here and in `user-config.py`.
USUAL = "test.wikipedia.org"


class Refused(requests.RequestException, ValueError):
    """The hub did not send the request; the text says why. Nothing was done.

    `code` is the hub's word for the reason where it has one: `needs_grant` where the person has not allowed the hub to act on wikis. `url` is
    the page where that is mended, or `None`.
    """

    code = url = None


class NotReached(requests.ConnectTimeout):
    """The hub, or the wiki, could not be reached for a while. Nothing was done: asking again is safe, and libraries that know that do."""


class OutcomeUnknown(requests.RequestException, ValueError):
    """The wiki may have done what was asked, and there is no answer."""


_told = None


def _read():
    """What the hub said of wikis when this server started."""
    global _told
    if _told is None:
        path = os.environ.get("HOLT_BROKER_SITES_FILE")
        if not path or not os.environ.get("HOLT_BROKER_URL"):
            raise RuntimeError(
                "This server was given no way to act on wikis. Sign in at the hub with the wiki, stop the server and start it again; "
                "if that does not help, the hub does not offer it."
            )
        with open(path, encoding="utf-8") as file:
            _told = json.load(file)
    return _told


def user():
    """The account's name at the wikis."""
    return _read()["user"]


def sites():
    """The wikis that can be asked, each with `origin`, `api` and `rest`."""
    return [dict(one) for one in _read()["sites"]]


def site(wiki=None):
    """One of `sites()`: by its host, or any address there. With nothing said the only one, or else the one pywikibot begins with."""
    by_host = {host_of(one): one for one in sites()}
    if wiki is None:
        if len(by_host) == 1:
            return next(iter(by_host.values()))
        if USUAL in by_host:
            return by_host[USUAL]
        raise ValueError(f"say which wiki: there are {len(by_host)}, for example {min(by_host, default='none')!r}")
    host = urlsplit(wiki if "//" in wiki else "//" + wiki).netloc.lower()
    if host not in by_host:
        from difflib import get_close_matches

        near = get_close_matches(host, by_host, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"{wiki!r} is no wiki that the hub sends requests to{hint}")
    return by_host[host]


def host_of(site):
    """A wiki's host, with its port where that is not the usual one."""
    return site["origin"].partition("://")[2]


class Adapter(HTTPAdapter):
    """Sends what is for a known wiki through the hub. With `marked`, only what pywikibot would have signed."""

    def __init__(self, marked=False, **named):
        self.marked = marked
        self.broker = os.environ["HOLT_BROKER_URL"]
        self.by_origin = {one["origin"]: one for one in sites()}
        with open(os.environ["HOLT_BROKER_TOKEN_FILE"], encoding="utf-8") as file:
            self.token = file.read().strip()
        named.setdefault("pool_maxsize", 32)
        super().__init__(**named)

    def is_for_hub(self, request):
        parts = urlsplit(request.url)
        site = self.by_origin.get(f"{parts.scheme}://{parts.netloc}")
        return site is not None and (parts.path == site["api"] or parts.path.startswith(site["rest"] + "/"))

    def send(self, request, stream=False, timeout=None, verify=True, cert=None, proxies=None):
        marked = is_marked(request.headers.get("Authorization"))
        if not self.is_for_hub(request) or (self.marked and not marked):
            if marked:
                # Pages, and wikis that the hub does not know, are asked as nobody.
                request = request.copy()
                del request.headers["Authorization"]
            return super().send(request, stream=stream, timeout=timeout, verify=verify, cert=cert, proxies=proxies)
        writes = is_write(request)
        repeatable = request.body is None or isinstance(request.body, (bytes, str))
        until = time.monotonic() + PATIENCE
        while True:
            try:
                response, outcome = self.ask(request, stream, timeout, writes)
            except NotReached:
                if not repeatable or time.monotonic() + 1 > until:
                    raise
                time.sleep(1)
                continue
            if outcome == ANSWERED:
                response.url, response.request = request.url, request
                return whole(response, request) if writes else response
            said = words(response)
            if outcome == UNKNOWN:
                response.close()
                if writes:
                    raise OutcomeUnknown(said, request=request)
                if not self.marked:
                    raise requests.ReadTimeout(said, request=request)
                # pywikibot asks again after this one.
                response.status_code = 504
                response.url, response.request = request.url, request
                return response
            if response.status_code not in (429, 503):
                raise refused(response, request)
            pause = wait(response)
            response.close()
            if not repeatable or time.monotonic() + pause > until:
                raise NotReached(said, request=request, response=response)
            time.sleep(pause)

    def ask(self, request, stream, timeout, writes):
        """One request to the hub, and what became of it. `NotReached` where none got there."""
        inner = self.wrap(request)
        try:
            response = super().send(inner, stream=stream, timeout=longer(timeout), verify=True)
        except (requests.ConnectionError, requests.Timeout) as error:
            if isinstance(error, requests.ConnectTimeout) or never_left(error):
                raise NotReached(
                    "The hub does not answer, so nothing was sent. If that lasts, look at the hub's page.", request=request
                ) from error
            if not writes:
                raise requests.ReadTimeout(f"The hub's answer did not come ({reason(error)}).", request=request) from error
            raise lost(error, request) from error
        outcome = response.headers.get("Holt-Outcome")
        if outcome is None:
            # The hub's proxy answers while there is no hub, or one ended in the middle.
            ended = response.status_code >= 500 and response.status_code != 503
            outcome = UNKNOWN if ended else NOT_SENT
        return response, outcome

    def wrap(self, request):
        """The request to the hub that describes this one."""
        inner = request.copy()
        inner.method, inner.url = "POST", self.broker
        for name in ("Cookie", "Host", "Proxy-Authorization"):
            inner.headers.pop(name, None)
        inner.headers["Authorization"] = "Bearer " + self.token
        inner.headers["Holt-Method"] = request.method
        inner.headers["Holt-Url"] = request.url.partition("#")[0]
        if request.body is None:
            inner.headers["Content-Length"] = "0"
        return inner


def is_marked(value):
    """Whether this is what pywikibot signs with the mark."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return bool(value) and value.startswith("OAuth ") and 'oauth_consumer_key="holt"' in value


def is_write(request):
    """Whether the request may change something, for all that can be told."""
    if request.method in ("GET", "HEAD"):
        return False
    query = urlsplit(request.url).query
    body = request.body or ""
    if isinstance(body, bytes):
        body = body.decode("latin-1")
    if not isinstance(body, str):
        body = ""
    content = request.headers.get("Content-Type") or b""
    content = content.decode("latin-1") if isinstance(content, bytes) else content
    fields = parse_qsl(query)
    if content.startswith("application/x-www-form-urlencoded"):
        fields += parse_qsl(body)
    actions = {value for name, value in fields if name == "action"}
    return len(actions) != 1 or not actions <= READS


def never_left(error):
    """Whether no connection to the hub was made."""
    from urllib3.exceptions import MaxRetryError, NewConnectionError

    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def told(response):
    """What the hub says in JSON; nothing, where it is not the hub that speaks."""
    try:
        said = response.json()
    except (ValueError, requests.RequestException):
        said = None
    return said if isinstance(said, dict) else {}


def words(response):
    """What the hub says to a person."""
    if response.status_code >= 500 and response.status_code != 503 and response.headers.get("Holt-Outcome") is None:
        return "The hub ended while it worked on this. The wiki may have done what was asked: look there before you ask again."
    said = told(response)
    text, url = str(said.get("message") or f"The hub answered {response.status_code}."), said.get("url")
    return f"{text} See {url}" if isinstance(url, str) and url not in text else text


def refused(response, request):
    """The error for what the hub did not send."""
    error = Refused(words(response), request=request, response=response)
    said = told(response)
    error.code, error.url = said.get("code"), said.get("url")
    return error


def lost(error, request):
    """The error for a change whose answer did not come."""
    return OutcomeUnknown(
        f"The hub's answer was lost ({reason(error)}). The wiki may have done what was asked: look there before you ask again.",
        request=request,
    )


def reason(error):
    """The innermost words of an error of `requests`."""
    while error.args and isinstance(error.args[-1], Exception):
        error = error.args[-1]
    return getattr(error, "reason", None) or error


def whole(response, request):
    """The answer to a change, read to its end: one that breaks off is no answer, and nobody shall ask again for that."""
    try:
        response.content
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
        raise lost(error, request) from error
    return response


def longer(timeout):
    """The caller's time, and the hub's own beside it; never none."""
    if not isinstance(timeout, (int, float, tuple, type(None))):
        return timeout
    connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    # The first is also how long a piece of a body may take to leave.
    return (connect or 0) + HUB_SECONDS, (read + HUB_SECONDS if read else ANSWER_SECONDS)


def wait(response):
    """Seconds until the next try."""
    try:
        return min(max(float(response.headers.get("Retry-After") or 1), 0.5), 30.0)
    except ValueError:
        return 5.0


def mount(session, marked=False):
    """Lets a session of `requests` go through the hub where it is for a known wiki; returns the session."""
    adapter = Adapter(marked)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def session(agent=None):
    """A session of `requests` that acts on the known wikis as the person who signed in.

    `agent` names your program to the wikis, as they ask for: `"MyTool/1.0 (https://example.org/mytool)"`. The hub adds who you are.
    """
    made = requests.Session()
    made.headers["User-Agent"] = " ".join(filter(None, [agent, "holt_broker", made.headers["User-Agent"]]))
    return mount(made)


def mwclient(wiki=None, agent=None, **named):
    """A `mwclient.Site` of a wiki, signed in; `wiki` and `agent` as in `site` and `session`, the rest as there."""
    import mwclient as library

    one = site(wiki)
    scheme, _, host = one["origin"].partition("://")
    pool = session(agent or f"mwclient/{library.__version__}")
    return library.Site(host, path=one["api"].removesuffix("api.php"), scheme=scheme, pool=pool, **named)


def mwapi(wiki=None, agent=None, **named):
    """A `mwapi.Session` of a wiki, signed in; `wiki` and `agent` as in `site` and `session`, the rest as there."""
    import mwapi as library

    one = site(wiki)
    made = session(agent or "mwapi")
    return library.Session(one["origin"], user_agent=made.headers["User-Agent"], api_path=one["api"], session=made, **named)


def configure(settings):
    """Sets pywikibot up; called by `user-config.py` with its settings, before a person's own file."""
    families = families_of_hosts()
    unknown = []
    for one in sites():
        settings["authenticate"][host_of(one)] = MARK
        if host_of(one) not in families:
            unknown.append(one)
            settings["family_files"].setdefault(family_of(one), one["origin"] + one["api"])
    if unknown and len(unknown) == len(sites()):
        settings["family"] = settings["mylang"] = family_of(unknown[0])
    holt_late.after("pywikibot.comms.http", lambda module: mount(module.session, marked=True))


def settle(settings):
    """Ends what `configure` began, after a person's own file, which wins.

    Where it names an account of its own for a wiki, or a credential for it, pywikibot signs in there by itself; every other wiki of the
    hub's list gets the person's name, and no other wiki does.
    """
    families, names, authenticate = families_of_hosts(), settings["usernames"], settings["authenticate"]
    for one in sites():
        host = host_of(one)
        places = families.get(host) or [(family_of(one), family_of(one))]
        own = {name_at(names, *place) for place in places} - {None}
        if any(not is_same(name, user()) for name in own) or any(pattern in authenticate for pattern in patterns(host)):
            if authenticate.get(host) == MARK:
                del authenticate[host]
            continue
        for family, code in places:
            if name_at(names, family, code) is None:
                names[family][code] = user()


def name_at(names, family, code):
    """The account that pywikibot would take there."""
    for group in (names.get(family) or {}, names.get("*") or {}):
        if name := group.get(code) or group.get("*"):
            return name
    return None


def is_same(name, other):
    """Whether MediaWiki takes two spellings for one account."""

    def plain(text):
        text = " ".join(text.replace("_", " ").split())
        return text[:1].upper() + text[1:]

    return plain(name) == plain(other)


def patterns(host):
    """Under which patterns of `authenticate` pywikibot also looks for a host."""
    parts = host.split(".")
    return [".".join(["*", *parts[place + 1 :]]) for place in range(len(parts))]


def families_of_hosts():
    """The pairs of family and code that pywikibot has for a host."""
    found = {}
    try:
        with open(FAMILIES, encoding="utf-8") as file:
            for line in file:
                family, code, host = line.split()
                found.setdefault(host, []).append((family, code))
    except FileNotFoundError:
        pass
    return found


def write_families(path=FAMILIES):
    """Writes down which hosts this pywikibot knows; done once, when the image is made."""
    from pywikibot import config
    from pywikibot.family import Family

    lines = []
    for name in sorted(config.family_files):
        family = Family.load(name)
        lines += [f"{name} {code} {family.hostname(code)}\n" for code in sorted(family.langs)]
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(lines)


def family_of(site):
    """The name under which pywikibot has a wiki that it does not know by itself: letters and digits of its host."""
    return "".join(letter for letter in host_of(site).lower() if letter.isascii() and letter.isalnum())
