"""Collects garbage less often in the notebook server's own process; kernels and everything else are left as they are.

Read by `holt_quick.pth` at each start of this Python, so it does next to nothing.
The server makes half a million lasting objects while it imports, and the default looks through them again and again: a fifth of its start.
"""

import sys

if sys.orig_argv[1:2] and sys.orig_argv[1].endswith("/bin/jupyterhub-singleuser"):
    import gc

    gc.set_threshold(50_000, 10, 10)
