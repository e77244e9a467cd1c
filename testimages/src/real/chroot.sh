#!/bin/sh
# What every recipe begins with: mounts that are gone at its end, and a root directory fit for chroot.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
say() { echo "real guest: $*" >&2; }

mounted=
cleanup() {
    for point in $mounted; do umount "$point" || umount --lazy "$point"; done
    mounted=
}
trap cleanup EXIT
trap "exit 1" INT TERM
bind() { mount "$@"; for last; do :; done; mounted="$last $mounted"; }

# Its own /dev with nothing of this machine's disks in it, the kernel's file systems, and no service is started.
furnish() {
    mkdir -p "$1/dev" "$1/proc" "$1/sys"
    bind -t tmpfs none "$1/dev"
    mknod -m 666 "$1/dev/null" c 1 3
    mknod -m 666 "$1/dev/zero" c 1 5
    mknod -m 666 "$1/dev/random" c 1 8
    mknod -m 666 "$1/dev/urandom" c 1 9
    ln -s /proc/self/fd "$1/dev/fd"
    bind -t proc proc "$1/proc"
    bind -t sysfs sysfs "$1/sys"
    printf '#!/bin/sh\nexit 101\n' > "$1/usr/sbin/policy-rc.d"
    chmod +x "$1/usr/sbin/policy-rc.d"
    echo force-unsafe-io > "$1/etc/dpkg/dpkg.cfg.d/unsafe-io"
}

# Has the guest's apt-get install packages: ROOT LOG ARGUMENTS.
apt_install() {
    into=$1 log=$2
    shift 2
    chroot "$into" apt-get -qy --no-install-recommends install "$@" >> "$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
}
