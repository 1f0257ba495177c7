# The virtual environment: what `requirements.lock` names, each file by its hash, nothing else.
# It belongs to the notebook user, so that `pip install` works in a notebook (until the server stops).
set -eu
export LC_ALL=C.UTF-8
umask 022

python3 -m venv /opt/venv
# Indexes, proxy and certificates are the machine's: in this run's environment and files alone.
/opt/venv/bin/pip install -q --disable-pip-version-check --no-cache-dir --no-compile --require-hashes --use-pep517 \
    --root-user-action=ignore -r requirements.lock
/opt/venv/bin/pip uninstall -q -y --root-user-action=ignore setuptools
/opt/venv/bin/pip check

site=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# Tests of packages. Test helpers that people import (`numpy.testing`, `pandas.testing`, `tornado.testing`) stay.
rm -rf "$site"/pandas/tests "$site"/numpy/tests "$site"/numpy/*/tests "$site"/matplotlib/tests "$site"/mpl_toolkits/*/tests \
    "$site"/jupyterhub/tests "$site"/zmq/tests "$site"/tornado/test "$site"/psutil/tests "$site"/nbconvert/exporters/tests
# The hub's pages and scripts: this is a server of it. Source maps, and stubs for a type checker's library of strangers.
rm -rf /opt/venv/share/jupyterhub /opt/venv/share/man /opt/venv/share/doc
rm -rf "$site"/jedi/third_party/typeshed/stubs/*
find "$site" /opt/venv/share/jupyter -name '*.js.map' -delete
# Two parts that their importers look for and do without, at 0.06 s of every start each: a check of one kind of text in event schemas
# (jsonschema), and coloured source in the error pages of a template engine that only the hub's database scripts use (mako).
rm "$site"/rfc3986_validator.py "$site"/mako/ext/pygmentplugin.py
# JupyterLab serves its application from share/jupyter/lab/static; the package holds the same files again.
(cd "$site"/jupyterlab/static && find . -type f) | while read -r file; do
    if cmp -s "$site/jupyterlab/static/$file" "/opt/venv/share/jupyter/lab/static/$file"; then
        ln -f "/opt/venv/share/jupyter/lab/static/$file" "$site/jupyterlab/static/$file"
    fi
done

# Bytecode that is never compared with its source: a start asks after no source file. Without columns it is a fifth smaller.
find /opt/venv -name __pycache__ -prune -exec rm -rf {} +
PYTHONDONTWRITEBYTECODE=1 /opt/venv/bin/python -X no_debug_ranges -m compileall -q -f -j 0 --invalidation-mode unchecked-hash "$site"

chown -R 52771:52771 /opt/venv
rm -rf /root/.cache /root/.config /root/.local
cd /
rm -rf /holt-build
