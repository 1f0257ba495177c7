#!/opt/venv/bin/python
"""What this image promises, tried from inside as the notebook user: `docker run ... python /usr/local/share/holt/contract.py`.

Prints one line for each promise, and ends with 1 where one is broken.
"""

import glob
import importlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time

SITE = sysconfig.get_path("purelib")
IMPORTS = """
    jupyterlab ipykernel jupyterhub jupyterhub.singleuser nbgitpuller pywikibot pandas requests pymysql sqlalchemy matplotlib.pyplot
    mwapi mwclient mwxml mwoauth mwparserfromhell lxml.etree zstandard tqdm jupyter_server_terminals pip toolforge replica
""".split()
COMMANDS = """
    bash git nano vim curl mariadb mysql less ssh unzip ps python python3 pip jupyter jupyter-lab jupyterhub-singleuser jupyter-labhub
    gitpuller pwb pwb.py holt-start sql 7z bzip2 zstd
""".split()
# What a build knows of the machine it ran on, and must forget.
SETTINGS = ["/etc/pip.conf", "/root/.config/pip", "/root/.pip", "/opt/venv/pip.conf", "/home/paws/.config/pip", "/holt-build"]
VARIABLES = ("PIP_", "SSL_CERT", "REQUESTS_CA", "CURL_CA", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "HOLT_APT")


def expect(holds, otherwise):
    if not holds:
        raise AssertionError(otherwise)


def run(*command, **how):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **how)
    expect(done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}: {(done.stderr or done.stdout)[-600:]}")
    return done.stdout + done.stderr


def the_user_is_tools_paws_52771():
    person = pwd.getpwuid(os.getuid())
    expect((person.pw_name, person.pw_uid, person.pw_gid) == ("tools.paws", 52771, 52771), repr(person))
    expect(person.pw_dir == "/home/paws" == os.environ["HOME"] and person.pw_shell == "/bin/bash", repr(person))
    with tempfile.NamedTemporaryFile(dir="/home/paws"):
        pass


def every_import_works():
    for name in IMPORTS:
        importlib.import_module(name)


def every_command_is_there():
    missing = [name for name in COMMANDS if not shutil.which(name)]
    expect(not missing, f"missing: {missing}")


def commands_answer():
    for command in ["git", "curl", "mariadb", "vim", "nano", "pip"]:
        run(command, "--version")
    expect(run("bash", "-lc", "command -v pwb").strip() == "/opt/venv/bin/pwb", "a login shell has another path")
    expect(os.environ["LANG"] == "C.UTF-8", os.environ["LANG"])
    expect(run("bash", "-c", "word=ü; echo ${#word}").strip() == "1", "bash does not speak UTF-8")


def the_single_user_server_has_the_locked_version():
    import jupyterhub

    expect(jupyterhub.__version__ in {"5.5.4", "6.1.1"}, jupyterhub.__version__)
    printed = run("jupyterhub-singleuser", "--version", env={**os.environ, "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:1/"})
    expect(printed.strip(), "jupyterhub-singleuser says no version")


def the_server_extensions_are_on():
    from jupyter_server.serverapp import ServerApp

    server = ServerApp()
    server.load_config_file()
    server.find_server_extensions()
    enabled = {name for name, on in server.jpserver_extensions.items() if on}
    expect(enabled == {"jupyterlab", "nbgitpuller", "jupyter_server_terminals"}, f"enabled: {enabled}")
    validated = run("jupyter", "server", "extension", "list")
    expect(validated.count("OK") >= 3, validated)


def pwb_finds_its_settings():
    printed = run(sys.executable, "-c", "import pywikibot; print(pywikibot.config.base_dir, pywikibot.config.mylang)")
    expect(printed.split()[-2:] == ["/srv/paws", "test"], printed)


def packed_dumps_are_read():
    import bz2

    import mwparserfromhell
    import mwxml
    import zstandard
    from lxml import etree
    from mwtypes.files import reader

    page = "<page><title>Rook</title><ns>0</ns><id>1</id><revision><id>2</id><timestamp>2026-01-01T00:00:00Z</timestamp>{}</revision></page>"
    text = "<text>A [[bird]] in [[Ötztal|a valley]]. ü</text>"
    export = "http://www.mediawiki.org/xml/export-0.11/"
    site = "<siteinfo><sitename>Wikipedia</sitename><dbname>testwiki</dbname><namespaces><namespace key='0' /></namespaces></siteinfo>"
    dump = f'<mediawiki xmlns="{export}" version="0.11" xml:lang="en">{site}{page.format(text)}</mediawiki>'
    with tempfile.TemporaryDirectory() as folder:
        plain = f"{folder}/pages.xml"
        with open(plain, "w", encoding="utf-8") as file:
            file.write(dump)
        run("bzip2", "--keep", plain)
        run("7z", "a", "-bd", f"{plain}.7z", plain)
        run("zstd", "--quiet", plain)
        # By programs, as in a terminal.
        for command in (["bzip2", "-dc", f"{plain}.bz2"], ["7z", "e", "-so", f"{plain}.7z"], ["zstd", "-dc", f"{plain}.zst"]):
            done = subprocess.run(command, capture_output=True, timeout=60, check=True)
            expect(done.stdout == dump.encode(), f"{command[0]} gives {done.stdout[:80]}")
        # In Python, without unpacking to the disk.
        with open(f"{plain}.zst", "rb") as file, zstandard.open(file, "rt", encoding="utf-8") as opened:
            by_zstandard = opened.read()
        with bz2.open(f"{plain}.bz2", "rt", encoding="utf-8") as opened:
            expect(opened.read() == by_zstandard == dump, "bz2 or zstandard gives something else")
        for ending in ("bz2", "7z"):
            with reader(f"{plain}.{ending}") as opened:
                found = [(page.title, revision.text) for page in mwxml.Dump.from_file(opened) for revision in page]
            expect([title for title, _ in found] == ["Rook"], f"{ending}: {found}")
            links = [str(link.title) for link in mwparserfromhell.parse(found[0][1]).filter_wikilinks()]
            expect(links == ["bird", "Ötztal"], f"{ending}: {links}")
        titles = [element.text for _, element in etree.iterparse(f"{plain}", tag=f"{{{export}}}title")]
        expect(titles == ["Rook"], repr(titles))


def a_figure_is_drawn():
    script = "import matplotlib; matplotlib.use('agg'); import matplotlib.pyplot as p; p.plot([1, 2]); p.savefig('/tmp/contract.png')"
    run(sys.executable, "-c", script)
    os.unlink("/tmp/contract.png")


def a_kernel_computes_42():
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(startup_timeout=60)
    try:
        printed = []
        client.execute_interactive("print(6 * 7)", timeout=60, output_hook=lambda m: printed.append(m["content"].get("text", "")))
        expect("".join(printed).strip() == "42", repr(printed))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def bytecode_is_there_and_unchecked():
    sources = glob.glob(f"{SITE}/**/*.py", recursive=True) + glob.glob(f"{os.path.dirname(os.__file__)}/*.py")
    expect(len(sources) > 3000, f"only {len(sources)} sources")
    without, checked = [], []
    for source in sources:
        compiled = importlib.util.cache_from_source(source)
        if not os.path.exists(compiled):
            without.append(source)
            continue
        with open(compiled, "rb") as file:
            if int.from_bytes(file.read(8)[4:], "little") != 1:
                checked.append(source)
    # A few sources are templates or of another Python.
    expect(len(without) < 20, f"{len(without)} have no bytecode: {without[:20]}")
    expect(not checked, f"{len(checked)} are compared with their source: {checked[:5]}")


def nothing_of_the_building_machine_is_left():
    left = [path for path in SETTINGS if os.path.lexists(path)]
    expect(not left, f"left: {left}")
    told = [name for name in os.environ if name.startswith(VARIABLES)]
    expect(not told, f"in the environment: {told}")
    configured = run("pip", "config", "list").strip()
    expect(not configured, f"pip is configured: {configured}")
    urls = glob.glob(f"{SITE}/*.dist-info/direct_url.json")
    expect(not urls, f"installed from an address: {urls}")


def importing_the_server_is_quick():
    script = "import time; t = time.perf_counter(); import jupyterhub.singleuser, jupyterlab.labapp; print(time.perf_counter() - t)"
    took = min(float(run(sys.executable, "-c", script)) for _ in range(3))
    print(f"     the server's imports take {took:.2f} s")
    expect("rfc3987_syntax" not in run(sys.executable, "-c", "import jsonschema, sys; print(list(sys.modules))"), "a slow grammar is back")


def the_server_collects_garbage_less_often_and_nothing_else_does():
    script = "import gc; print(gc.get_threshold()[0])"
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/bin")
        server = f"{folder}/bin/jupyterhub-singleuser"
        with open(server, "w", encoding="utf-8") as file:
            file.write(script)
        expect(run(sys.executable, server).strip() == "50000", "the server's process does not")
    expect(run(sys.executable, "-c", script).strip() == "700", "another process does")


def main():
    broken = 0
    promises = [value for value in globals().values() if callable(value) and getattr(value, "__module__", "") == "__main__"]
    for promise in promises:
        if promise in (expect, run, main):
            continue
        begun = time.monotonic()
        try:
            promise()
            print(f"ok   {promise.__name__} ({time.monotonic() - begun:.1f} s)", flush=True)
        except Exception as error:
            broken += 1
            print(f"FAIL {promise.__name__}: {type(error).__name__}: {error}", flush=True)
    print(json.dumps({"broken": broken}))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
