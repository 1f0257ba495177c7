"""Lets `pymysql.connect()`, and what is built on it, reach the replicas with nothing said, as the command `mariadb` does.

`mariadb` reads ~/.my.cnf and the environment by itself; PyMySQL reads neither. So where a caller names no server, no user and no file,
the environment's is meant; and where they name one of Toolforge's servers, its port is. What is said is never changed.
"""

import os

import holt_late

DOMAIN = ".db.svc.wikimedia.cloud"


def complete(named, env=os.environ):
    """Adds what was left out of the arguments of a connection, if it is one to the replicas."""
    ours, host = env.get("MYSQL_HOST"), named.get("host")
    if not ours or named.get("unix_socket") or named.get("read_default_file") or named.get("read_default_group"):
        return
    if not host and not any(named.get(key) for key in ("user", "password", "passwd", "port")):
        named.update(host=ours, user=env.get("MYSQL_USERNAME"), password=env.get("MYSQL_PASSWORD"))
        host = ours
    if host and (host == ours or host.endswith(DOMAIN)) and not named.get("port"):
        named["port"] = int(env.get("MYSQL_PORT") or 3306)


def wrap(connection):
    """Lets a class of connections begin with what was left out."""
    begin = connection.__init__

    def __init__(self, *arguments, **named):
        complete(named)
        begin(self, *arguments, **named)

    __init__.__doc__, __init__.__wrapped__ = begin.__doc__, begin
    connection.__init__ = __init__


holt_late.after("pymysql.connections", lambda module: wrap(module.Connection))
