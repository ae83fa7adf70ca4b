#!/usr/bin/env bash
# container.sh build ROOT COMMAND: runs a RUN line of the Dockerfile in a root file system, with this machine's network.
# container.sh run ROOT VOLUMES USER WORD...: starts the words as PID 1, as docker does with --read-only, --network none, --cap-drop ALL
# and the capabilities of compose.yaml; VOLUMES holds inbox, output, state and config, and gets `pid`, the host's number of that PID 1.
# USER is `-`, or UID:GID as of --user. The words' environment is this script's. Takes root.
set -euo pipefail
mode=$1 root=$2
shift 2

devices() { # devices SIZE: what docker puts into /dev
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    local device
    for device in null zero full random urandom tty; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    mkdir "$root/dev/shm"
    mount -t tmpfs -o "mode=1777,size=$1" tmpfs "$root/dev/shm"
    ln -s /proc/self/fd "$root/dev/fd"
}

case $mode in
build) exec unshare --mount --pid --fork --kill-child=SIGKILL --propagation private bash "$0" inner-build "$root" "$@" ;;
run) exec unshare --mount --pid --net --ipc --uts --fork --kill-child=SIGKILL --propagation private bash "$0" inner-run "$root" "$@" ;;
inner-build)
    mount -t proc proc "$root/proc"
    devices 64m
    exec chroot "$root" /bin/sh -c "$1"
    ;;
inner-run)
    volumes=$1 user=$2
    shift 2
    ip link set lo up
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    devices 64m
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    for name in inbox output state config; do mount --bind "$volumes/$name" "$root/$name"; done
    mount -o remount,bind,ro "$root"
    caps=(--no-new-privs --bounding-set=-all,+chown,+dac_override,+setgid,+setuid)
    [ "$user" = - ] || caps=(--no-new-privs --bounding-set=-all --reuid="${user%:*}" --regid="${user#*:}" --clear-groups)
    # the shell opens this, so that it names the shell, which is about to become the words
    read -r number _ </proc/self/stat
    echo "$number" >"$volumes/pid.new"
    mv "$volumes/pid.new" "$volumes/pid"
    exec chroot "$root" setpriv "${caps[@]}" "$@"
    ;;
esac
