"""The settings that `pwb` begins with; a person's own, in ~/user-config.py, come after them and win."""

import os as _os

family = "wikipedia"
mylang = "test"
if _os.environ.get("JUPYTERHUB_USER"):
    usernames["*"]["*"] = _os.environ["JUPYTERHUB_USER"]

_own = _os.path.expanduser("~/user-config.py")
if _os.path.isfile(_own):
    with open(_own, encoding="utf-8") as _file:
        exec(compile(_file.read(), _own, "exec"), globals())  # noqa: S102 - it is their own file in their own container.
del _own
