#!/usr/bin/env bash
# boot.sh DIR DEPS BASE: boots a real systemd as PID 1 of fresh namespaces, again whenever it ends while DIR/on exists.
# It sees an overlay of `/` whose changes last from boot to boot and are gone afterwards, no network, DIR/srv at
# /srv, DIR/wheels at /opt/wheels, and read-only DEPS at /opt/deps and BASE (or `-`) at /opt/python.
# DIR/pid is the host's number of that PID 1, DIR/cgroup the cgroup to remove at the end. Takes root.
set -euo pipefail
dir=$1 deps=$2 base=$3

inner() { # in new pid, mount, cgroup, uts, ipc and net namespaces
    local root=$dir/disk/root
    mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/disk/up,workdir=$dir/disk/work" "$root"
    mount -t proc proc "$root/proc"
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro "$root/proc/sys" # the host's settings are not ours to change
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for device in null zero full random urandom tty; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    mkdir -p "$root/srv" "$root/opt/wheels" "$root/opt/deps" "$root/opt/python"
    mount --bind "$dir/srv" "$root/srv"
    mount --bind "$dir/wheels" "$root/opt/wheels"
    mount --bind "$deps" "$root/opt/deps"
    mount -o remount,bind,ro "$root/opt/deps"
    if [ "$base" != - ]; then
        mount --bind "$base" "$root/opt/python"
        mount -o remount,bind,ro "$root/opt/python"
    fi
    quiet "$root/etc/systemd/system"
    # bash opens this, so that it names bash, which is about to become systemd; the host's /proc tells the host's number
    read -r number _ </proc/self/stat
    echo "$number" >"$dir/pid.new"
    mv "$dir/pid.new" "$dir/pid"
    mkdir -p "$root/old"
    cd "$root"
    pivot_root . old
    umount -l /old
    mount --make-rshared / # as on any machine: what is mounted later, services see too
    exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --show-status=0
}

quiet() { # only what the tests start is to run: nothing that this machine's owner has installed
    local unit name
    echo 0123456789abcdef0123456789abcdef >"$1/../../machine-id"
    for unit in "$1"/*.wants/* /lib/systemd/system/multi-user.target.wants/*; do
        name=${unit##*/}
        [ "$name" = watcher.service ] || [ "$name" = '*' ] || ln -sfn /dev/null "$1/$name"
    done
    for name in firstboot udevd sysctl modules-load timesyncd logind resolved networkd; do
        ln -sfn /dev/null "$1/systemd-$name.service"
    done
}

outer() { # in a mount namespace of its own, which outlives each boot
    mkdir "$dir/disk"
    mount -t tmpfs tmpfs "$dir/disk" # an overlay can't be the upper half of another
    mkdir "$dir/disk/up" "$dir/disk/work" "$dir/disk/root"
    while [ -e "$dir/on" ]; do
        unshare --fork --pid --mount --cgroup --uts --ipc --net --kill-child=SIGKILL --propagation private \
            bash "$0" "$dir" "$deps" "$base" inner || true
    done
}

case ${4:-} in
outer | inner) "$4" ;;
*)
    cgroups=/sys/fs/cgroup/unified # a host with both versions, or with version 2 alone
    [ -d $cgroups ] || cgroups=/sys/fs/cgroup
    cgroup=$cgroups/watcher-test.$$
    mkdir "$cgroup"
    echo "$cgroup" >"$dir/cgroup"
    echo $$ >"$cgroup/cgroup.procs"
    exec unshare --mount --propagation private bash "$0" "$dir" "$deps" "$base" outer
    ;;
esac
