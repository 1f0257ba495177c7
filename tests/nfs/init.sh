#!/bin/sh
# The first process of a small machine with a kernel that has NFS: a real server (nfs-ganesha), the kernel's own client, and `holt node`.
# Prints `ok: what seconds` or `late: what` for each thing that it waits for, and `end`.
export PATH=/bin:/sbin:/usr/bin LD_LIBRARY_PATH=/lib
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t tmpfs -o mode=1777 tmp /tmp
for module in /mod/*.ko; do insmod "$module"; done
ip link set lo up
mkdir -p /run/ganesha /export /tree/far
# A file system that gives out handles of its files.
mkdir -p /run/disk && mount -t ext4 /dev/vda /export
echo Apple >/export/page.txt
mkdir -p /export/sub

uptime() { cut -d' ' -f1 /proc/uptime; }
begin() { began=$(uptime); }
# Waits at most a minute until a command succeeds.
wait_for() {
  what=$1
  shift
  for _ in $(seq 600); do
    if eval "$@" >/dev/null 2>&1; then
      echo "ok: $what $(echo "$(uptime) $began" | awk '{ print $1 - $2 }')"
      return
    fi
    usleep 100000
  done
  # What comes after would only be late too.
  echo "late: $what"
  tail -n 20 /tmp/*.log /tmp/*.out
  poweroff -f
}
server() { ganesha.nfsd -F -f /etc/ganesha.conf -L /tmp/ganesha.log -p /run/ganesha.pid -N NIV_EVENT >>/tmp/ganesha.out 2>&1 & }
mounted() { grep -q " $1 " /proc/self/mountinfo; }
# Reads on and on, and leaves a file when a read fails.
reader() {
  rm -f /tmp/reader.met
  (
    while cat "$place/page.txt" >/dev/null 2>/tmp/reader.err; do :; done
    mv /tmp/reader.err /tmp/reader.met
  ) &
}

begin
server
wait_for "the server listens" "grep -q :0801 /proc/net/tcp /proc/net/tcp6"
options=soft,timeo=10,retrans=1
# Mounted by hand below a directory that is shared as a whole.
echo Top >/tree/top.txt
for _ in $(seq 20); do mount -t nfs4 -o $options 127.0.0.1:/dumps /tree/far 2>/tmp/mount.err && break; done
mount -t tmpfs inner /tree/far/sub
echo Plum >/tree/far/sub/plum.txt
place=/data/mounts/mnt+nfs/dumps
tree=/data/mounts/srv+tree/all
begin
holt node --data-dir /data --config /etc/holt.toml >/tmp/node.log 2>&1 &
wait_for "a page is read" "grep -q Apple $place/page.txt"
wait_for "what is mounted in a mount below a source is read" "grep -q Plum $tree/far/sub/plum.txt"
whole=$(grep " $tree " /proc/self/mountinfo)
for signal in STOP KILL; do
  reader
  begin
  kill -$signal "$(pidof ganesha.nfsd)"
  wait_for "SIG$signal: it is taken away" "! mounted $place"
  # An open may wait for NFS 4 to find its state again, soft or not, but whoever waits can be ended.
  wait_for "SIG$signal: who read has an error or can be ended" "[ -e /tmp/reader.met ] || { kill -KILL \$(pidof cat); false; }"
  wait_for "SIG$signal: below a source it is left out" "! mounted $tree/far"
  wait_for "SIG$signal: what it was below is read" "grep -q Top $tree/top.txt"
  begin
  if [ $signal = STOP ]; then kill -CONT "$(pidof ganesha.nfsd)"; else server; fi
  wait_for "SIG$signal: it is back" "grep -q Apple $place/page.txt"
  wait_for "SIG$signal: below a source it is back" "grep -q Apple $tree/far/page.txt"
done
begin
wait_for "the tree was mounted once" "[ \"$whole\" = \"\$(grep ' $tree ' /proc/self/mountinfo)\" ]"
grep " nfs4 " /proc/self/mountinfo
cat /tmp/node.log
kill -KILL "$(pidof holt)"
wait_for "all is taken away" "holt node --unmount --data-dir /data --config /etc/holt.toml && ! grep /data /proc/self/mountinfo"
tail -n 5 /tmp/ganesha.log /tmp/ganesha.out
echo end
poweroff -f
