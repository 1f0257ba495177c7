"""Does something to a module once it is imported, and costs nothing until then.

    import holt_late
    holt_late.after("pymysql.connections", lambda module: ...)

Read at the start of each Python where it is wanted, so it imports next to nothing.
"""

import sys

_wanted = {}


def after(name, do):
    """Calls `do` with the module of that name when it is imported, before whoever imports it sees it; at once if it is imported already."""
    if name in sys.modules:
        do(sys.modules[name])
        return
    _wanted.setdefault(name, []).append(do)
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)


class Finder:
    """Finds nothing itself: it lets the others find what is waited for, and runs what waits behind it."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        # What is taken out of the list here is not found by this finder again.
        waiting = _wanted.pop(name, None)
        if waiting is None:
            return None
        from importlib.util import find_spec

        spec = None
        try:
            spec = find_spec(name)
        finally:
            if spec is None or spec.loader is None:
                # It may be installed later.
                _wanted[name] = waiting
        if spec is None or spec.loader is None:
            return spec
        if not _wanted and cls in sys.meta_path:
            sys.meta_path.remove(cls)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            for do in waiting:
                do(module)

        spec.loader.exec_module = exec_module
        return spec
