#!/bin/bash
# Runs tests/nfs/init.sh in a small machine of Debian's kernel, whatever this machine's kernel has. Nothing is installed: packages are
# unpacked below CACHE, and kept there. Emulated, so that it also works in a machine that is virtual itself.
#   machine.sh BINARY CACHE
set -euo pipefail
binary=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$2"
cd "$2"
work=$PWD
root=$work/root
kernel_package() { apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }'; }

if [ ! -e "$root/.whole" ]; then
  [ -n "$(kernel_package)" ] || apt-get -qq update
  kernel=$(kernel_package)
  [ -n "$kernel" ] || { echo "there is no package linux-image-cloud-amd64: this needs Debian on amd64" >&2; exit 69; }
  # What is installed already is taken from this machine.
  packages=$(for wanted in qemu-system-x86 'nfs-ganesha nfs-ganesha-vfs nfs-common'; do
    # shellcheck disable=SC2086
    apt-get install -s --no-install-recommends $wanted | awk '/^Inst/ { print $2 }'
  done)
  rm -rf "$root" debs
  mkdir -p "$root" debs
  # shellcheck disable=SC2086
  (cd debs && apt-get -qq download "$kernel" busybox-static kmod $packages)
  for package in debs/*.deb; do dpkg -x "$package" "$root"; done
  rm -rf debs
  touch "$root/.whole"
fi
release=$(basename "$root"/lib/modules/*)
libraries=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu:$root/usr/lib/ganesha
find_one() {
  local name
  for name in "$@"; do
    if [ -e "$root$name" ]; then echo "$root$name" && return; fi
    if [ -e "$name" ]; then echo "$name" && return; fi
  done
  echo "none of $* is there" >&2
  return 69
}
kmod() { (exec -a "$1" "$(find_one /bin/kmod /usr/bin/kmod)" "${@:2}"); }

# The small machine's files.
init=$work/init
rm -rf "$init"
mkdir -p "$init"/{bin,sbin,usr/bin,usr/lib/x86_64-linux-gnu/libnfsidmap,usr/lib/x86_64-linux-gnu/ganesha,lib,lib64,etc,proc,sys,dev,run,tmp,data,mod,var/lib/nfs/ganesha,var/lib/nfs/rpc_pipefs}
cp "$(find_one /bin/busybox /usr/bin/busybox)" "$init/bin/busybox"
for name in sh ls cat seq usleep mkdir mv rm kill pidof ip insmod poweroff grep awk cut tail '['; do
  ln -s busybox "$init/bin/$name"
done
strip -o "$init/bin/holt" "$binary"
cp "$(find_one /bin/mount)" "$init/bin/"
cp -L "$(find_one /sbin/mount.nfs /usr/sbin/mount.nfs)" "$init/sbin/mount.nfs"
ln -s mount.nfs "$init/sbin/mount.nfs4"
cp "$(find_one /usr/bin/ganesha.nfsd)" "$init/usr/bin/"
cp "$(find_one /usr/lib/x86_64-linux-gnu/ganesha/libfsalvfs.so)" "$init/usr/lib/x86_64-linux-gnu/ganesha/"
cp "$(find_one /usr/lib/x86_64-linux-gnu/libnfsidmap/nsswitch.so)" "$init/usr/lib/x86_64-linux-gnu/libnfsidmap/"
for program in "$init"/bin/{holt,mount} "$init/sbin/mount.nfs" "$init/usr/bin/ganesha.nfsd" "$init"/usr/lib/x86_64-linux-gnu/*/*.so; do
  LD_LIBRARY_PATH=$libraries ldd "$program"
done >linked
if grep 'not found' linked; then exit 69; fi
awk '/=> \// { print $3 }' linked | sort -u >needed
while read -r library; do cp -L "$library" "$init/lib/"; done <needed
cp -L /lib64/ld-linux-x86-64.so.2 "$init/lib64/"
kmod depmod -b "$root" "$release"
number=100
for module in virtio_blk virtio_pci ext4 nfs nfsv4; do
  kmod modprobe -d "$root" -S "$release" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >modules
while read -r module; do
  cp "$module" "$init/mod/$number-$(basename "$module")"
  number=$((number + 1))
done <modules
cp "$here/init.sh" "$init/init"
chmod 755 "$init/init"
cp "$here/holt.toml" "$here/ganesha.conf" "$init/etc/"
cp /etc/services /etc/protocols "$init/etc/" 2>/dev/null || true
ln -s /proc/mounts "$init/etc/mtab"
printf 'root:x:0:0::/:/bin/sh\n' >"$init/etc/passwd"
printf 'root:x:0:\n' >"$init/etc/group"
printf '127.0.0.1 localhost\n' >"$init/etc/hosts"
printf 'passwd: files\ngroup: files\nhosts: files\n' >"$init/etc/nsswitch.conf"
printf '[General]\nDomain = example.org\n[Mapping]\nNobody-User = root\nNobody-Group = root\n[Translation]\nMethod = nsswitch\n' >"$init/etc/idmapd.conf"
printf '%s\n' 'udp tpi_clts v inet udp - -' 'tcp tpi_cots_ord v inet tcp - -' 'udp6 tpi_clts v inet6 udp - -' \
  'tcp6 tpi_cots_ord v inet6 tcp - -' 'local tpi_cots_ord - loopback - - -' >"$init/etc/netconfig"
(cd "$init" && find . | "$init/bin/busybox" cpio -o -H newc 2>/dev/null | gzip -1) >init.gz
rm -f disk.img
truncate -s 64M disk.img
/sbin/mkfs.ext4 -q -F disk.img

LD_LIBRARY_PATH=$libraries:$root/usr/lib/x86_64-linux-gnu/pulseaudio exec "$(find_one /usr/bin/qemu-system-x86_64)" \
  -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" -L /usr/share/qemu -L /usr/share/seabios \
  -accel tcg,thread=multi -cpu qemu64 -m 1024 -smp 2 -nographic -no-reboot -net none \
  -kernel "$(find_one /boot/vmlinuz-"$release")" -initrd init.gz -append "console=ttyS0 quiet panic=1 rdinit=/init" \
  -drive file=disk.img,if=virtio,format=raw
