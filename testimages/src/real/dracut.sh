
# Builds a real, bootable Debian 12 laid out as the RPM families do it and come out of EC2: XFS, an initramfs by dracut,
# entries of the Boot Loader Specification, an environment block. Where its root is, and how the machine starts, the part
# before this one says. Runs as root.
#   usage: dracut.sh WORK_DIRECTORY IMAGE TAR
work=$1 image=$2 tar=$3
root=$work/root
root_uuid=24e7baea-0000-4ec2-8000-00000000dc01
boot_uuid=24e7baea-0000-4ec2-8000-00000000dc02
machine=ec2deb1a00004ec2800000000000dc00

# An XFS with all that its driver can be asked for: IMAGE OFFSET KIB UUID.
make_xfs() {
    truncate -s "$3k" "$work/xfs.img"
    mkfs.xfs -q -m "crc=1,finobt=1,rmapbt=1,reflink=1,bigtime=1,inobtcount=1,uuid=$4" -i sparse=1 "$work/xfs.img"
    dd if="$work/xfs.img" of="$1" bs=1M seek=$(($2 / 1048576)) conv=notrunc,sparse status=none
    rm "$work/xfs.img"
}

# The logical volume vg0/root over all of the physical one; nothing is activated.
make_volume() {
    loop=$(losetup --find --show --offset "$volume_offset" --sizelimit $((volume_kib * 1024)) "$1")
    trap 'losetup --detach "$loop"; cleanup' EXIT
    lvm() {
        command lvm "$@" --driverloaded n --devices "$loop" --config 'devices { hints="none" obtain_device_list_from_udev=0 }
            backup { backup=0 archive=0 } activation { udev_sync=0 udev_rules=0 monitoring=0 }' 2>> "$work/lvm.log"
    }
    lvm vgcreate -s 1m vg0 "$loop" >> "$work/lvm.log"
    lvm lvcreate -an -Zn -Wn -l 100%FREE -n root vg0 >> "$work/lvm.log"
    test "$(lvm lvs --noheadings -o seg_pe_ranges vg0/root | sed 's/.*:\([0-9]*\)-.*/\1/')" = 0
    start=$(lvm pvs --noheadings --nosuffix --units b -o pe_start)
    size=$(lvm lvs --noheadings --nosuffix --units k -o lv_size vg0/root)
    losetup --detach "$loop"
    trap cleanup EXIT
    root_offset=$((volume_offset + start))
    root_kib=${size%%.*}
}

say "image and file systems"
rm -f "$image"
truncate -s 2G "$image"
partition "$image"
if [ -n "${volume_offset-}" ]; then
    root_device=/dev/mapper/vg0-root
    make_volume "$image"
fi
make_xfs "$image" "$root_offset" "$root_kib" "$root_uuid"
mkdir -p "$root"
# Another guest, with the same UUIDs, may be built at the same time.
bind -o "loop,nouuid,offset=$root_offset,sizelimit=$((root_kib * 1024))" "$image" "$root"
# How GRUB, the entries and the kernel call the place of the kernels.
loader_uuid=$root_uuid boot=/boot
if [ -n "${boot_offset-}" ]; then
    loader_uuid=$boot_uuid boot=
    make_xfs "$image" "$boot_offset" "$boot_kib" "$boot_uuid"
    mkdir "$root/boot"
    bind -o "loop,nouuid,offset=$boot_offset,sizelimit=$((boot_kib * 1024))" "$image" "$root/boot"
fi
tar --extract --file "$tar" --zstd --numeric-owner --xattrs --xattrs-include='*' --directory "$root"

say "boot loader ($loader)"
furnish "$root"
apt_install "$root" "$work/apt.log" $loader
rm "$root/usr/sbin/policy-rc.d" "$root/etc/dpkg/dpkg.cfg.d/unsafe-io"

say "dressing it as an EC2 instance"
{
    printf '%s\t/\txfs\tdefaults\t0 0\n' "$root_device"
    test -z "${boot_device-}" || printf '%s\t/boot\txfs\tdefaults\t0 0\n' "$boot_device"
    test -z "${mounts-}" || echo "$mounts"
    printf '%s\t/mnt\tauto\tdefaults,nofail,comment=cloudconfig\t0 2\n' "$instance_store"
} > "$root/etc/fstab"
release=$(ls "$root/lib/modules")
mkdir -p "$root/etc/dracut.conf.d"
printf 'hostonly="yes"\nadd_drivers+=" nvme ena xen-blkfront xen-netfront "\n' > "$root/etc/dracut.conf.d/ec2.conf"
# For the lab: an initramfs that gives up soon; and processes at addresses that are not random, as QEMU translates a page of
# code that they share once for each address, and takes minutes to forget hundreds of these when the page is freed.
arguments="console=tty0 console=ttyS0,115200n8 net.ifnames=0 biosdevname=0 nvme_core.io_timeout=4294967295 rd.retry=20 norandmaps"
if [ -n "${volume_offset-}" ]; then
    arguments="rd.lvm.lv=vg0/root $arguments"
    printf 'devices {\n\tfilter = [ "a|^/dev/xvd|", "a|^/dev/nvme|", "r|.*|" ]\n}\n' > "$root/etc/lvm/lvm.conf"
fi
options="root=$root_device ro $arguments"
# Early microcode comes in an archive of its own, before the one that is compressed.
mkdir -p "$root/lib/firmware/intel-ucode"
head -c 2048 /dev/zero | tr '\0' u > "$root/lib/firmware/intel-ucode/06-55-04"

say "initramfs (as a host-only one: with no driver but those of EC2)"
mkdir -p "$root/boot/loader/entries" "$root/boot/grub2"
for compressor in $compressors; do
    suffix=-$compressor
    test "$compressor" != "${compressors%% *}" || suffix=
    chroot "$root" dracut --force --kver "$release" --no-hostonly --lvmconf --early-microcode "--$compressor" \
        --drivers "$drivers" "/boot/initramfs-$release$suffix.img" > "$work/dracut.log" 2>&1 ||
        { tail -n 20 "$work/dracut.log" >&2; exit 1; }
    cat > "$root/boot/loader/entries/$machine-$release$suffix.conf" <<ENTRY
title Debian GNU/Linux ($release$suffix) 12 (bookworm)
version $release$suffix
linux $boot/vmlinuz-$release
initrd $boot/initramfs-$release$suffix.img
options $(test -n "$boot" && echo "$options" || echo '$kernelopts')
grub_users \$grub_users
grub_arg --unrestricted
grub_class kernel
ENTRY
done

say "GRUB configuration"
environment() { chroot "$root" grub-editenv /boot/grub2/grubenv "$@"; }
environment create
environment set "saved_entry=$machine-$release" boot_success=0
if [ -n "$boot" ]; then
    mkdir -p "$root/etc/kernel"
    echo "$options" > "$root/etc/kernel/cmdline"
else
    environment set "kernelopts=$options"
fi
cat > "$root/etc/default/grub" <<DEFAULTS
GRUB_TIMEOUT=1
GRUB_DEFAULT=saved
GRUB_DISABLE_SUBMENU=true
GRUB_TERMINAL="console serial"
GRUB_SERIAL_COMMAND="serial --speed=115200"
GRUB_CMDLINE_LINUX="$arguments"
GRUB_ENABLE_BLSCFG=true
DEFAULTS
cat > "$root/boot/grub2/grub.cfg" <<CONFIG
if [ -s \$prefix/grubenv ]; then
  load_env
fi
if [ "\${next_entry}" ] ; then
   set default="\${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="\${saved_entry}"
fi
serial --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=1
search --no-floppy --fs-uuid --set=root $loader_uuid
blscfg
CONFIG
install_loader "$image"

# Files that share their extents with others, what is going to be replaced among them.
mkdir "$root/root/shared"
for file in /usr/bin/perl /etc/fstab $(test -z "$boot" || echo "/boot/initramfs-$release.img"); do
    cp --reflink=always "$root$file" "$root/root/shared/"
done

dress
cd /
sync
