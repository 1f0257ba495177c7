# Debian's part: Python, and what a person wants in a terminal.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
umask 022

# No manuals, no translations: neither of what comes now nor of what is there. Copyright files stay.
cat > /etc/dpkg/dpkg.cfg.d/holt-slim <<'END'
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/groff/*
path-exclude=/usr/share/lintian/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/vim/vim*/doc/*
path-exclude=/usr/share/vim/vim*/lang/*
path-exclude=/usr/share/vim/vim*/tutor/*
path-exclude=/usr/share/vim/vim*/spell/*
END

# The base says where its packages come from: its updates and security fixes come from beside them.
# The build may use a mirror, which only this run sees.
debian=$(sed -n -e 's/^URIs: *//p' -e 's/^deb  *\(\[[^]]*\]  *\)\{0,1\}\([^ ]*\) .*/\2/p' \
    $(find /etc/apt/sources.list /etc/apt/sources.list.d -type f 2>/dev/null) | head -n 1)
[ -n "$debian" ] || { echo "the base image does not say where its packages come from" >&2; exit 1; }
debian=${debian%/}
security=${debian%/*}/debian-security
write_sources() {
    cat <<END
Types: deb
URIs: $1
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: $2
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
}
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
write_sources "$debian" "$security" > /etc/apt/sources.list.d/debian.sources
mkdir -p /run/holt/sources
write_sources "${HOLT_APT_MIRROR:-$debian}" "${HOLT_APT_SECURITY_MIRROR:-$security}" > /run/holt/sources/debian.sources
cat > /run/holt/apt.conf <<'END'
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "/run/holt/sources";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Acquire::Check-Valid-Until "true";
Dpkg::Use-Pty "false";
END
export APT_CONFIG=/run/holt/apt.conf
[ -z "${SSL_CERT_FILE:-}" ] || echo "Acquire::https::CaInfo \"$SSL_CERT_FILE\";" >> "$APT_CONFIG"

# A service that a package would like to start stays off.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d

apt-get -q update
apt-get -q -y upgrade
apt-get -q -y install \
    7zip bash bzip2 ca-certificates curl git less mariadb-client-core nano netbase openssh-client procps python3 python3-venv unzip vim \
    xz-utils zstd
# `mysql` is what people type.
ls /usr/bin/mysql >/dev/null 2>&1 || ln -s mariadb /usr/bin/mysql

# Bytecode that is never compared with its source: a start reads no source file's state. Without columns it is a fifth smaller.
find /usr/lib/python3* -name __pycache__ -prune -exec rm -rf {} +
rm -rf /usr/lib/python3.11/test /usr/lib/python3.11/idlelib /usr/lib/python3.11/lib2to3/tests
PYTHONDONTWRITEBYTECODE=1 python3 -X no_debug_ranges -m compileall -q -f -j 0 --invalidation-mode unchecked-hash /usr/lib/python3.11 /usr/lib/python3/dist-packages

apt-get -q clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/log/* /usr/sbin/policy-rc.d
find /usr/share/doc -depth -type f ! -name copyright -delete
find /usr/share/doc -depth -type d -empty -delete
rm -rf /usr/share/man/* /usr/share/info/* /usr/share/groff/* /usr/share/lintian/* /usr/share/locale/*
rm -rf /root/.cache
cd /
rm -rf /holt-build
