# Readers of dumps, and the example notebook that uses them. The programs for bz2, 7z and zstd are Debian's, from the first stage.
set -eu
export LC_ALL=C.UTF-8
umask 022

# None of them needs another package, so nothing that the other lock pinned is moved.
/opt/venv/bin/pip install -q --disable-pip-version-check --no-cache-dir --no-compile --require-hashes --no-deps --only-binary=:all: \
    --root-user-action=ignore -r requirements-dumps.lock
/opt/venv/bin/pip check
site=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# Headers for programs in C, and parts in other people's Python.
rm -rf "$site"/lxml/includes "$site"/lxml/isoschematron/resources/rng
find "$site"/lxml -name '*.pyx' -delete -o -name '*.pxd' -delete -o -name '*.pxi' -delete
for package in lxml tqdm zstandard; do
    PYTHONDONTWRITEBYTECODE=1 /opt/venv/bin/python -X no_debug_ranges -m compileall -q -f --invalidation-mode unchecked-hash "$site/$package"
    chown -R 52771:52771 "$site/$package" "$site/$package"-*.dist-info
done
chown 52771:52771 /opt/venv/bin/tqdm

# The program that mwxml reads 7z with is called so everywhere else.
ln -s 7zz /usr/bin/7z

# Where the dumps are. A hub that has them puts its own folders in the place of these.
install -d -m 0755 /mnt/nfs /public/dumps
ln -s /mnt/nfs/dumps /public/dumps/public

install -d -m 0755 /usr/local/share/holt/examples
install -m 0644 dumps.ipynb /usr/local/share/holt/examples/dumps.ipynb

rm -rf /root/.cache /root/.config /root/.local
cd /
rm -rf /holt-build
