#!/usr/bin/env bash
# host.sh NAME SHARED SEEN: what becomes PID 1 of a host in fresh net, uts, mount and pid namespaces (see `hosts.py`).
# It has the machine's files, but sees SHARED at SEEN and nothing where SHARED was. Says `ready` and buries its dead.
set -euo pipefail
name=$1 shared=$2 seen=$3
hostname "$name"
ip link set lo up
mount -t proc proc /proc
mount --bind "$shared" "$seen"
mount -t tmpfs tmpfs "$shared"
echo ready
sleep infinity &
wait
