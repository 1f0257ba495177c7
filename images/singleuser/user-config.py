"""The settings that `pwb` begins with; a person's own, in ~/user-config.py, come after them and win."""

import os as _os

family = "wikipedia"
mylang = "test"

# Wikis: as the person who signed in, by the hub, for every family and language that it knows. Nothing secret is here.
# For a second account, name it in ~/user-config.py as anywhere: `usernames["wikipedia"]["en"] = "MyBot"`, and `password_file` with a
# bot password, or `authenticate["en.wikipedia.org"]`. pywikibot then signs in there by itself, and the other wikis stay as they are.
_broker = None
if _os.environ.get("HOLT_BROKER_URL"):
    import holt_broker as _broker

    _broker.configure(globals())
elif _os.environ.get("JUPYTERHUB_USER"):
    usernames["*"]["*"] = _os.environ["JUPYTERHUB_USER"]

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
if _broker is not None:
    _broker.settle(globals())
del _own, _broker
