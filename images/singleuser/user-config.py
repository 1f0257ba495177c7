"""The settings that `pwb` begins with; a person's own, in ~/user-config.py, come after them and win."""

import os as _os

family = "wikipedia"
mylang = "test"
if _os.environ.get("JUPYTERHUB_USER"):
    usernames["*"]["*"] = _os.environ["JUPYTERHUB_USER"]

# Wikis: as the person who signed in, by the hub, for every family and language that it knows. Nothing secret is here.
# `authenticate.pop("en.wikipedia.org")` in ~/user-config.py lets pywikibot sign in there by itself, for a second account.
if _os.environ.get("HOLT_BROKER_URL"):
    import holt_broker as _holt_broker

    _holt_broker.configure(globals())
    del _holt_broker

# The replicas, for `-mysqlquery` and pywikibot's MySQL generators.
if _os.environ.get("MYSQL_HOST"):
    db_hostname_format = _os.environ["MYSQL_HOST"]
    db_port = int(_os.environ.get("MYSQL_PORT") or 3306)
    db_username = _os.environ.get("MYSQL_USERNAME", "")
    db_password = _os.environ.get("MYSQL_PASSWORD", "")
    db_name_format = "{0}_p"
    db_connect_file = None

_own = _os.path.expanduser("~/user-config.py")
if _os.path.isfile(_own):
    with open(_own, encoding="utf-8") as _file:
        exec(compile(_file.read(), _own, "exec"), globals())  # noqa: S102 - it is their own file in their own container.
del _own
