#!/bin/busybox sh
# First program of a test guest: loads the drivers, then makes the host's own root directory (read-only over
# 9p, a RAM overlay above it for writes) the guest's root, so that every package of the host is there.
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /host /ram /newroot
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

fail() { echo "guest init: $*"; echo o >/proc/sysrq-trigger; sleep 60; }

while read -r module; do
    insmod "/modules/$module" || fail "cannot load $module"
done </modules/order

mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose hostroot /host || fail "no 9p root"
mount -t tmpfs -o size=512m tmpfs /ram
mkdir /ram/upper /ram/work
mount -t overlay -o lowerdir=/host,upperdir=/ram/upper,workdir=/ram/work overlay /newroot || fail "no overlay"

for name in proc sys dev; do mkdir -p /newroot/$name; mount --move /$name /newroot/$name; done
mkdir -p /newroot/run /newroot/tmp /newroot/dev/shm
mount -t tmpfs tmpfs /newroot/run
mount -t tmpfs tmpfs /newroot/tmp
mount -t tmpfs tmpfs /newroot/dev/shm
cp -r /guest /newroot/run/guest
exec switch_root /newroot /bin/sh /run/guest/start.sh
