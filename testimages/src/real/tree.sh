
# Packs the files of a plain Debian 12 with a kernel and services, without a boot loader, in a tar. Runs as root.
#   usage: tree.sh WORK_DIRECTORY TAR MIRROR
work=$1 tar=$2 mirror=$3
root=$work/root

say "debootstrap from $mirror (a minute or two)"
mkdir -p "$root/etc/dpkg/dpkg.cfg.d"
echo force-unsafe-io > "$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
debootstrap --variant=minbase bookworm "$root" "$mirror" > "$work/debootstrap.log" 2>&1 ||
    { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }

say "kernel and services (some minutes)"
furnish "$root"
echo "deb $mirror bookworm main" > "$root/etc/apt/sources.list"
chroot "$root" apt-get -q update > "$work/apt.log" 2>&1 || { tail -n 20 "$work/apt.log" >&2; exit 1; }
apt_install "$root" "$work/apt.log" linux-image-amd64 grub2-common initramfs-tools zstd \
    systemd-sysv udev dbus ifupdown isc-dhcp-client iproute2 chrony cloud-init openssh-server
chroot "$root" apt-get clean
# The two boot loaders exclude each other: each guest installs its own, from here.
apt_install "$root" "$work/apt.log" --download-only grub-pc
apt_install "$root" "$work/apt.log" --download-only grub-efi-amd64 grub-efi-amd64-signed shim-signed
cleanup
tar --create --file "$tar" --zstd --numeric-owner --xattrs --xattrs-include='*' --directory "$root" .
