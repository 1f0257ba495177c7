# Who works here, with which settings, and what starts it all.
set -eu
umask 022
export LC_ALL=C.UTF-8

groupadd --gid 52771 tools.paws
# `useradd` may dislike the dot in a name that people's scripts rely on.
useradd --badname --uid 52771 --gid 52771 --home-dir /home/paws --create-home --skel /dev/null --shell /bin/bash \
    --no-log-init tools.paws
chmod 0755 /home/paws

install -d -m 0755 -o 52771 -g 52771 /srv/paws
install -m 0444 user-config.py /srv/paws/user-config.py
ln -s /opt/venv/bin/pwb /usr/local/bin/pwb.py

# Beside the packages' own files in `jupyter_server_config.d`, over which it wins; /etc would not.
install -m 0644 -o 52771 -g 52771 jupyter_server_config.json /opt/venv/etc/jupyter/jupyter_server_config.json
install -d -m 0755 -o 52771 -g 52771 /opt/venv/etc/jupyter/labconfig
install -m 0644 -o 52771 -g 52771 page_config.json /opt/venv/etc/jupyter/labconfig/page_config.json
site=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
install -m 0644 -o 52771 -g 52771 holt_quick.py holt_quick.pth holt_broker.py "$site/"
PYWIKIBOT_NO_USER_CONFIG=2 PYTHONDONTWRITEBYTECODE=1 /opt/venv/bin/python -P -c 'import holt_broker; holt_broker.write_families()'
chown 52771:52771 "$site/holt_families.txt"
PYTHONDONTWRITEBYTECODE=1 /opt/venv/bin/python -X no_debug_ranges -m compileall -q -f --invalidation-mode unchecked-hash "$site/holt_quick.py" "$site/holt_broker.py"
chown 52771:52771 "$site"/__pycache__/holt_quick.* "$site"/__pycache__/holt_broker.*
install -d -m 0755 /usr/local/share/holt/examples
install -m 0644 wiki.ipynb /usr/local/share/holt/examples/wiki.ipynb
install -m 0644 bash.bashrc /etc/bash.bashrc
install -m 0644 profile.sh /etc/profile.d/holt.sh
install -m 0755 holt-start /usr/local/bin/holt-start
install -d -m 0755 /usr/local/share/holt
install -m 0755 contract.py /usr/local/share/holt/contract.py

rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid- /var/log/lastlog /var/log/faillog
cd /
rm -rf /holt-build
