
# Packs the same Debian with dracut and LVM instead of initramfs-tools. Runs as root.
#   usage: dracut_tree.sh WORK_DIRECTORY TAR SOURCE_TAR
work=$1 tar=$2 source=$3
root=$work/root

say "dracut and LVM (a minute)"
mkdir -p "$root"
tar --extract --file "$source" --zstd --numeric-owner --xattrs --xattrs-include='*' --directory "$root"
furnish "$root"
chroot "$root" apt-get -q update > "$work/apt.log" 2>&1 || { tail -n 20 "$work/apt.log" >&2; exit 1; }
apt_install "$root" "$work/apt.log" dracut lvm2 xfsprogs lz4
rm -f "$root"/boot/initrd.img* # each guest gets its own
cleanup
tar --create --file "$tar" --zstd --numeric-owner --xattrs --xattrs-include='*' --directory "$root" .
