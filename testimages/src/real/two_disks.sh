
# Moves the real Debian onto two disks, as an instance that got a second volume when its root was full: /boot on a partition
# of the first, the root on a logical volume over the rest of it and all of the second. The volume itself is left beside the
# image, to be put where lvm2 has it. Runs as root.
#   usage: two_disks.sh WORK_DIRECTORY IMAGE SOURCE
work=$1 image=$2 source=$3
old=$work/old root=$work/root volume=$2.volume
root_uuid=24e7baea-0000-4ec2-8000-00000000de31
boot_uuid=24e7baea-0000-4ec2-8000-00000000de32

say "disk and file systems"
truncate -s 1G "$image"
truncate -s 1920M "$volume"
printf 'label: dos\nlabel-id: 0xec2deb1b\nstart=2048, size=655360, type=83, bootable\nstart=657408, type=8e\n' |
    sfdisk -q "$image"
mke2fs -q -t ext4 -U "$root_uuid" "$volume"
mke2fs -q -t ext2 -U "$boot_uuid" -E offset=1048576 "$image" 320m
mkdir -p "$old" "$root"
bind -o "ro,noload,loop,offset=1048576" "$source" "$old"
bind -o loop "$volume" "$root"
mkdir "$root/boot"
bind -o "loop,offset=1048576,sizelimit=335544320" "$image" "$root/boot"
cp -a "$old/." "$root/"

say "LVM"
furnish "$root"
for place in / /boot; do
    loop=$(findmnt -no SOURCE "$root$place")
    # The devices have the names that they had on EC2.
    test "$place" = / && name=/dev/mapper/vg0-root || name=/dev/xvda1
    mkdir -p "$root/dev/mapper"
    for node in "$loop" "$name"; do mknod "$root$node" b "$(stat -c %Hr "$loop")" "$(stat -c %Lr "$loop")"; done
done
chroot "$root" apt-get -q update > "$work/apt.log" 2>&1 || { tail -n 20 "$work/apt.log" >&2; exit 1; }
apt_install "$root" "$work/apt.log" lvm2
rm "$root/usr/sbin/policy-rc.d" "$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
sed -i 's|^/dev/xvda1\s.*|/dev/mapper/vg0-root / ext4 defaults,errors=remount-ro 0 1\n/dev/xvda1 /boot ext2 defaults 0 2|' \
    "$root/etc/fstab"
chroot "$root" update-initramfs -u > "$work/initramfs.log" 2>&1
# For grub-mkconfig a loop device is what losetup says that it stands for, here both are /boot's.
mkdir "$root/tmp/bin"
printf '#!/bin/sh\necho "$1: (/dev/xvda1)"\n' > "$root/tmp/bin/losetup"
chmod +x "$root/tmp/bin/losetup"
PATH=/tmp/bin:$PATH chroot "$root" grub-mkconfig -o /boot/grub/grub.cfg > "$work/grub.log" 2>&1
sed -i '/^\t*loopback loop/d; /^\t*set root=(loop/d; s|/dev/xvda1|/dev/mapper/vg0-root|' "$root/boot/grub/grub.cfg"
grep -q "root=/dev/mapper/vg0-root ro" "$root/boot/grub/grub.cfg"

say "GRUB in the MBR and the gap after it"
printf 'search.fs_uuid %s root\nset prefix=($root)/grub\n' "$boot_uuid" > "$root/tmp/early.cfg"
chroot "$root" grub-mkimage -O i386-pc -c /tmp/early.cfg -p /grub -o /tmp/core.img \
    biosdisk part_msdos ext2 search_fs_uuid normal configfile
cp "$root/tmp/core.img" "$work/"
embed "$image"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/tmp/*
: > "$root/etc/machine-id"
cd /
sync
