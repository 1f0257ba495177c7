# SQL on the wiki replicas without ceremony: Toolforge's helper library, the `replica` helper and its cell magic, the command `sql`.
set -eu
export LC_ALL=C.UTF-8
umask 022

/opt/venv/bin/pip install -q --disable-pip-version-check --no-cache-dir --no-compile --no-deps --require-hashes \
    --root-user-action=ignore -r requirements-replicas.lock
/opt/venv/bin/pip check

site=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
install -m 0644 -o 52771 -g 52771 replica.py holt_late.py holt_pymysql.py holt_pymysql.pth "$site/"
PYTHONDONTWRITEBYTECODE=1 /opt/venv/bin/python -X no_debug_ranges -m compileall -q -f --invalidation-mode unchecked-hash \
    "$site/replica.py" "$site/holt_late.py" "$site/holt_pymysql.py" "$site/toolforge" "$site/decorator"
install -d -m 0755 -o 52771 -g 52771 /opt/venv/etc/ipython
install -m 0644 -o 52771 -g 52771 ipython_config.py /opt/venv/etc/ipython/ipython_config.py
install -m 0755 sql /usr/local/bin/sql
install -d -m 0755 /usr/local/share/holt
install -m 0644 replicas.ipynb /usr/local/share/holt/replicas.ipynb

# Only what came now: changing all would put all of it into this layer again.
chown -R 52771:52771 "$site"/toolforge* "$site"/decorator* /opt/venv/etc/ipython
chown 52771:52771 "$site"/__pycache__/replica.* "$site"/__pycache__/holt_late.* "$site"/__pycache__/holt_pymysql.*
rm -rf /root/.cache /root/.config /root/.local
cd /
rm -rf /holt-build
