"""SQL on the wiki replicas: a function, and the cell magic `%%sql`.

    import replica
    frame = replica.query("enwiki", "SELECT page_title FROM page WHERE page_namespace = %s LIMIT 5", [0])
    replica.download(frame, "titles.csv")

In a cell of its own, with the result in `frame`:

    %%sql enwiki frame
    SELECT page_title FROM page LIMIT 5

`replica.example()` puts a notebook to try things out beside yours.
PyMySQL speaks to the server and pandas holds the result; this adds a line that says how far it is.
"""

import os
import re
import sys
import threading
import time

__all__ = ["connect", "download", "example", "lag", "query"]

EXAMPLE = "/usr/local/share/holt/replicas.ipynb"
FILE = "/run/holt/replica.my.cnf"
BATCH = 5000


def database(wiki):
    """The database of a wiki: `enwiki` and `enwiki_p` both mean `enwiki_p`."""
    if not re.fullmatch(r"[A-Za-z0-9_$-]+", wiki or ""):
        raise ValueError(f"{wiki!r} is no name of a database; one is, for example, enwiki")
    return wiki.removesuffix("_p") + "_p"


def connect(wiki, **named):
    """A PyMySQL connection to a wiki's replica; `named` are further arguments of `pymysql.connect`."""
    import pymysql

    if not os.environ.get("MYSQL_HOST"):
        raise RuntimeError(
            "This server was given no way to wiki replicas. If the hub offers them now, stop the server and start it again."
        )
    named.setdefault("charset", "utf8mb4")
    return pymysql.connect(
        host=os.environ["MYSQL_HOST"],
        port=int(os.environ.get("MYSQL_PORT") or 3306),
        user=os.environ.get("MYSQL_USERNAME"),
        password=os.environ.get("MYSQL_PASSWORD"),
        database=database(wiki),
        **named,
    )


def lag(wiki):
    """How many seconds a wiki's replica is behind, or `None` where it does not tell."""
    import pymysql

    connection = connect(wiki)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT MIN(lag) FROM heartbeat_p.heartbeat")
            row = cursor.fetchone()
    except pymysql.MySQLError:
        return None
    finally:
        connection.close()
    return None if row is None or row[0] is None else float(row[0])


def query(wiki, sql, params=None, *, decode=True, progress=True):
    """Runs one query and returns a `pandas.DataFrame`.

    `params` are put in by PyMySQL where the text has `%s` or `%(name)s`, and then any other `%` is written twice: `LIKE 'A%%'`. Without
    them, the text is sent as it is.
    Most texts of MediaWiki's tables are bytes: `decode` makes strings of those that are UTF-8.
    Interrupting the kernel ends the query on the server too.
    """
    import pandas

    check_percents(sql, params)
    line = Progress(progress)
    work = Work(wiki, sql, params)
    work.start()
    try:
        while work.is_alive():
            work.join(0.2)
            line.tell(work.so_far())
    except BaseException:
        work.cut_off()
        raise
    finally:
        line.end()
    if work.error is not None:
        raise work.error
    frame = pandas.DataFrame(work.rows, columns=work.columns)
    if decode:
        for place in range(frame.shape[1]):
            frame.isetitem(place, texts(frame.iloc[:, place]))
    line.say(f"{work.so_far()}{behind(wiki) if progress else ''}.")
    return frame


def check_percents(sql, params):
    """Refuses a lone `%` beside parameters: PyMySQL would take it for one, fail without saying why, or put in what nobody meant."""
    if not params:
        return
    kind = r"\(\w+\)s" if isinstance(params, dict) else "s"
    if lone := re.search(rf"%(?!{kind})", sql.replace("%%", "  ")):
        place = lone.start()
        raise ValueError(
            f"where a query has parameters, any other % is written twice, as in LIKE 'A%%'; here one stands alone: "
            f"{' '.join(sql[max(0, place - 20) : place + 20].split())}"
        )


class Work(threading.Thread):
    """One query on a connection of its own, beside the thread that an interrupt reaches."""

    def __init__(self, wiki, sql, params):
        super().__init__(daemon=True)
        self.wiki, self.sql, self.params = database(wiki), sql, params
        self.rows, self.columns, self.error = [], [], None
        self.connection = connect(wiki)
        self.began, self.ended = time.monotonic(), None

    def run(self):
        from pymysql.cursors import SSCursor

        try:
            with self.connection.cursor(SSCursor) as cursor:
                cursor.execute(self.sql, self.params)
                self.columns = [column[0] for column in cursor.description or []]
                while batch := cursor.fetchmany(BATCH):
                    self.rows.extend(batch)
        except Exception as error:  # It is raised again where it is waited for.
            self.error = error
        finally:
            self.ended = time.monotonic()
            self.cut_off()

    def cut_off(self):
        """Closes the connection as it is; the server ends what runs on it."""
        self.connection._force_close()

    def so_far(self):
        took = (self.ended or time.monotonic()) - self.began
        count = len(self.rows)
        return f"{self.wiki}: {count:,} row{'' if count == 1 else 's'}, {took:.1f} s"


class Progress:
    """A line that is written over: in a notebook by its display, in a terminal by a carriage return."""

    def __init__(self, wanted):
        self.handle, self.length, self.began = None, 0, time.monotonic()
        self.wanted = wanted
        self.in_notebook = "ipykernel" in sys.modules

    def tell(self, text):
        # What is over at once needs no line.
        if not self.wanted or time.monotonic() - self.began < 0.5:
            return
        if self.in_notebook:
            from IPython.display import display

            if self.handle is None:
                self.handle = display(Text(text + " …"), display_id=True)
            else:
                self.handle.update(Text(text + " …"))
        elif sys.stderr.isatty():
            sys.stderr.write("\r" + text.ljust(self.length))
            sys.stderr.flush()
            self.length = len(text)

    def end(self):
        if self.length:
            sys.stderr.write("\r" + " " * self.length + "\r")

    def say(self, text):
        if not self.wanted:
            return
        if self.handle is not None:
            self.handle.update(Text(text))
        elif self.in_notebook:
            from IPython.display import display

            display(Text(text))
        else:
            print(text, file=sys.stderr)


class Text:
    """Plain words in a notebook's output."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


def behind(wiki):
    """The end of a sentence about how old the answer is."""
    seconds = lag(wiki)
    if seconds is None:
        return ""
    return "; the replica is up to date" if seconds < 5 else f"; the replica is {seconds:,.0f} s behind the wiki"


def texts(column):
    """The column with strings for bytes, if all of them are UTF-8."""
    if column.dtype != object:
        return column
    try:
        return column.map(lambda value: value.decode() if isinstance(value, bytes) else value)
    except UnicodeDecodeError:
        return column


def download(frame, name="result.csv"):
    """Writes a frame as CSV beside the notebook, and returns a link that downloads it."""
    from html import escape

    from IPython.display import HTML

    if not name.endswith(".csv") or "/" in name:
        raise ValueError(f"{name!r} is no file name that ends with .csv")
    frame.to_csv(name, index=False)
    link = escape(name, quote=True)
    return HTML(f'<a href="{link}" download="{link}">Download {link}</a> ({len(frame):,} rows)')


def example(name="replicas.ipynb"):
    """Puts the example notebook beside yours, unless a file of that name is there, and says where."""
    if os.path.exists(name):
        return f"{name} is there already."
    with open(EXAMPLE, encoding="utf-8") as source, open(name, "x", encoding="utf-8") as target:
        target.write(source.read())
    return f"{name} is beside this notebook: open it from the list of files."


def run_cell(shell, line, cell):
    """`%%sql WIKI [NAME] [--csv FILE]`."""
    import argparse

    import pymysql
    from IPython.core.error import UsageError
    from IPython.display import display

    parser = argparse.ArgumentParser(prog="%%sql", add_help=False, exit_on_error=False)
    parser.add_argument("wiki")
    parser.add_argument("name", nargs="?")
    parser.add_argument("--csv", metavar="FILE")
    usage = "write %%sql WIKI [NAME] [--csv FILE], for example %%sql enwiki titles"
    try:
        asked, rest = parser.parse_known_args(line.split())
    except (argparse.ArgumentError, SystemExit):
        raise UsageError(usage) from None
    if rest or (asked.name and not asked.name.isidentifier()):
        raise UsageError(usage)
    named = set(re.findall(r"%\((\w+)\)s", cell))
    if missing := named - set(shell.user_ns):
        raise UsageError(f"%({min(missing)})s stands in the query, and there is no variable {min(missing)}")
    params = {name: shell.user_ns[name] for name in named} or None
    try:
        frame = query(asked.wiki, cell.strip().rstrip(";"), params)
    except (pymysql.MySQLError, ValueError, RuntimeError) as error:
        words = error.args[1] if isinstance(error, pymysql.MySQLError) and len(error.args) > 1 else error
        raise UsageError(f"{asked.wiki}: {words}") from None
    if asked.csv:
        display(download(frame, asked.csv))
    if not asked.name:
        return frame
    shell.user_ns[asked.name] = frame
    return None


def load_ipython_extension(shell):
    """Called by IPython."""

    def sql(line, cell):
        return run_cell(shell, line, cell)

    sql.__doc__ = run_cell.__doc__
    shell.register_magic_function(sql, "cell", "sql")
