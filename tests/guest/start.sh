#!/bin/sh
# Second program of a test guest, on the host's root: network, soft-RoCE device, command server.
# The kernel hands every NAME=VALUE of its command line that it does not know to us as environment.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8
unset LD_PRELOAD LD_LIBRARY_PATH PYTHONPATH

mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
ulimit -l unlimited
ip link set lo up
ip link set eth0 mtu "$GUEST_MTU" up
ip addr add "$GUEST_IPV4/24" dev eth0
ip -6 addr add "$GUEST_IPV6/64" dev eth0 nodad
rdma link add rxe0 type rxe netdev eth0 || echo "guest start: no rxe0"

/usr/bin/python3 -I /run/guest/server.py "$GUEST_PORT"
echo "guest start: the command server ended"
echo o >/proc/sysrq-trigger
sleep 60
