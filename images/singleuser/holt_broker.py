"""Requests to wikis as the person who signed in, without a secret in this container.

    import holt_broker
    session = holt_broker.session()
    session.get("https://en.wikipedia.org/w/api.php", params={"action": "query", "meta": "userinfo", "format": "json"}).json()

The session is one of `requests`, so it also goes into other libraries: `mwapi.Session(host, session=session)`,
`mwclient.Site(host, pool=session)`. What it asks of `api.php` and `rest.php` of a wiki that the hub knows goes through the hub, which
signs it; everything else goes its usual way, as nobody. pywikibot is set up by the image's `user-config.py`.

A request that may have been carried out is never sent twice: `OutcomeUnknown` says that the wiki gave no answer. Look there first.
"""

import json
import os
import sys
import time
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.adapters import HTTPAdapter

__all__ = ["Adapter", "OutcomeUnknown", "Refused", "session", "sites", "user"]

# What pywikibot is told to sign with. It is no secret: it says that the hub shall sign instead.
MARK = ("holt", "holt", "holt", "holt")
# Modules of the API that only read: asking twice is as asking once.
READS = frozenset(
    "checktoken compare expandtemplates feedrecentchanges help languagesearch opensearch paraminfo parse query sitematrix "
    "templatedata wbformatvalue wbgetclaims wbgetentities wbparsevalue wbsearchentities".split()
)
# How long a request that certainly was not sent is tried again.
PATIENCE = 60.0
ANSWERED, NOT_SENT, UNKNOWN = "answered", "not-sent", "unknown"
# Hosts of these pywikibot knows by itself.
KNOWN = (
    ".wikipedia.org", ".wiktionary.org", ".wikibooks.org", ".wikinews.org", ".wikiquote.org", ".wikisource.org", ".wikiversity.org",
    ".wikivoyage.org", ".wikimedia.org", ".wikidata.org", ".mediawiki.org", ".wikifunctions.org", ".wikimediafoundation.org",
)  # fmt: skip


class Refused(requests.RequestException, ValueError):
    """The hub did not send the request; the text says why. Nothing was done."""


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
    return [dict(site) for site in _read()["sites"]]


class Adapter(HTTPAdapter):
    """Sends what is for a known wiki through the hub. With `marked`, only what pywikibot would have signed."""

    def __init__(self, marked=False, **named):
        self.marked = marked
        self.broker = os.environ["HOLT_BROKER_URL"]
        self.by_origin = {site["origin"]: site for site in sites()}
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
            response, outcome = self.ask(request, stream, timeout, writes)
            if outcome == ANSWERED:
                response.url, response.request = request.url, request
                return response
            if outcome == UNKNOWN:
                said = words(response)
                response.close()
                if writes:
                    raise OutcomeUnknown(said, request=request)
                response.status_code = 504
                response.url, response.request = request.url, request
                return response
            if response.status_code not in (429, 503):
                raise Refused(words(response), request=request, response=response)
            pause = wait(response)
            if not repeatable or time.monotonic() + pause > until:
                response.url, response.request = request.url, request
                return response
            response.close()
            time.sleep(pause)

    def ask(self, request, stream, timeout, writes):
        """One request to the hub, and what became of it."""
        inner = self.wrap(request)
        try:
            response = super().send(inner, stream=stream, timeout=timeout, verify=True)
        except requests.ConnectTimeout:
            raise
        except (requests.ConnectionError, requests.Timeout) as error:
            if not writes or never_left(error):
                raise
            raise OutcomeUnknown(
                f"The hub's answer was lost ({error}). The wiki may have done what was asked: look there before you ask again.",
                request=request,
            ) from error
        outcome = response.headers.get("Holt-Outcome")
        if outcome is None:
            # The hub's proxy answers while there is no hub, or one ended in the middle.
            lost = response.status_code >= 500 and response.status_code != 503
            outcome = UNKNOWN if lost else NOT_SENT
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


def words(response):
    """What the hub says to a person."""
    try:
        said = response.json()["message"]
    except (ValueError, KeyError, TypeError, requests.RequestException):
        said = f"The hub answered {response.status_code}."
    if response.status_code >= 500 and response.headers.get("Holt-Outcome") is None:
        said = "The hub ended while it worked on this. The wiki may have done what was asked: look there before you ask again."
    return said


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
    for site in sites():
        if not site["origin"].startswith("https://"):
            session.mount(site["origin"] + "/", adapter)
    return session


def session():
    """A session of `requests` that acts on the known wikis as the person who signed in."""
    made = requests.Session()
    made.headers["User-Agent"] = "holt_broker " + made.headers["User-Agent"]
    return mount(made)


def configure(settings):
    """Sets pywikibot up; called by `user-config.py` with its settings. What a person sets afterwards wins."""
    all_sites = sites()
    settings["usernames"]["*"]["*"] = user()
    for site in all_sites:
        settings["authenticate"][site["origin"].partition("://")[2]] = MARK
    unknown = [site for site in all_sites if not site["origin"].endswith(KNOWN)]
    for site in unknown:
        settings["family_files"].setdefault(family_of(site), site["origin"] + site["api"])
    if len(unknown) == len(all_sites) and unknown:
        settings["family"] = settings["mylang"] = family_of(unknown[0])
    sys.meta_path.insert(0, Finder)


def family_of(site):
    """The name under which pywikibot has a wiki that it does not know by itself: letters and digits of its host."""
    host = site["origin"].partition("://")[2]
    return "".join(letter for letter in host.lower() if letter.isascii() and letter.isalnum())


class Finder:
    """Waits for pywikibot's session to be made, and lets it go through the hub."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "pywikibot.comms.http":
            return None
        sys.meta_path.remove(cls)
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            mount(module.session, marked=True)

        spec.loader.exec_module = exec_module
        return spec
