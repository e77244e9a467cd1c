#!/bin/sh
# Builds a real, bootable Debian 12 as it would come out of an EC2 instance: GRUB in an MBR, ext4, and an initramfs,
# a kernel command line, mounts, a network and a clock that all expect Amazon's devices. Runs as root.
#   usage: debian.sh WORK_DIRECTORY IMAGE MIRROR
set -eu
work=$1 image=$2 mirror=$3
root=$work/root
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
say() { echo "real guest: $*" >&2; }

mounted=
cleanup() { for point in $mounted; do umount "$point" || umount --lazy "$point"; done; }
trap cleanup EXIT
trap "exit 1" INT TERM
bind() { mount "$@"; for last; do :; done; mounted="$last $mounted"; }

say "image and file system"
rm -f "$image"
truncate -s 2G "$image"
printf 'label: dos\nlabel-id: 0xec2deb1a\nstart=2048, type=83, bootable\n' | sfdisk -q "$image"
mke2fs -q -t ext4 -U 24e7baea-0000-4ec2-8000-00000000de12 -L '' \
    -E offset=1048576,hash_seed=24e7baea-0000-4ec2-8000-00000000de13 "$image" $((2 * 1048576 - 1024))k
mkdir -p "$root"
bind -o loop,offset=1048576 "$image" "$root"

say "debootstrap from $mirror (a minute or two)"
mkdir -p "$root/etc/dpkg/dpkg.cfg.d" "$root/dev" "$root/proc" "$root/sys"
echo force-unsafe-io > "$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
debootstrap --variant=minbase bookworm "$root" "$mirror" > "$work/debootstrap.log" 2>&1 ||
    { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }

say "kernel, boot loader and services (some minutes)"
# Its own /dev, where the root device has the name it had on EC2.
loop=$(findmnt -no SOURCE "$root")
bind -t tmpfs none "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
ln -s /proc/self/fd "$root/dev/fd"
for name in "$loop" /dev/xvda1; do
    mknod "$root$name" b "$(stat -c %Hr "$loop")" "$(stat -c %Lr "$loop")"
done
bind -t proc proc "$root/proc"
bind -t sysfs sysfs "$root/sys"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
echo "deb $mirror bookworm main" > "$root/etc/apt/sources.list"
{
    chroot "$root" apt-get -q update
    chroot "$root" apt-get -qy --no-install-recommends install linux-image-amd64 grub-pc initramfs-tools zstd \
        systemd-sysv udev dbus ifupdown isc-dhcp-client iproute2 chrony cloud-init openssh-server
} > "$work/apt.log" 2>&1 || { tail -n 20 "$work/apt.log" >&2; exit 1; }
rm "$root/usr/sbin/policy-rc.d" "$root/etc/dpkg/dpkg.cfg.d/unsafe-io"

say "dressing it as an EC2 instance"
cat > "$root/etc/fstab" <<'FSTAB'
# /etc/fstab: static file system information
/dev/xvda1	/	ext4	defaults,discard,errors=remount-ro	0	1
/dev/xvdb	/mnt	auto	defaults,nofail,comment=cloudconfig	0	2
fs-0123456789abcdef0:/	/srv	efs	_netdev,nofail,tls	0	0
FSTAB
cat > "$root/etc/network/interfaces" <<'INTERFACES'
auto lo
iface lo inet loopback

auto eth0
iface eth0 inet dhcp
    hwaddress ether 0a:ff:c0:a8:01:0a
INTERFACES
mkdir -p "$root/etc/udev/rules.d"
cat > "$root/etc/udev/rules.d/70-persistent-net.rules" <<'RULES'
SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="0a:ff:c0:a8:01:0a", ATTR{type}=="1", NAME="eth0"
RULES
cat > "$root/etc/cloud/cloud.cfg.d/99-ec2.cfg" <<'CLOUD'
datasource_list: [ Ec2 ]
datasource:
  Ec2:
    strict_id: true
    timeout: 5
    max_wait: 10
CLOUD
cat > "$root/etc/chrony/chrony.conf" <<'CHRONY'
server 169.254.169.123 prefer iburst minpoll 4 maxpoll 4
driftfile /var/lib/chrony/chrony.drift
makestep 1 3
rtcsync
CHRONY
cat > "$root/etc/default/grub" <<'GRUB'
GRUB_DEFAULT=0
GRUB_TIMEOUT=1
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200n8 net.ifnames=0 biosdevname=0 nvme_core.io_timeout=4294967295"
GRUB_TERMINAL="console serial"
GRUB_SERIAL_COMMAND="serial --speed=115200"
GRUB_DISABLE_LINUX_UUID=true
GRUB_DISABLE_OS_PROBER=true
GRUB
cat > "$root/etc/initramfs-tools/modules" <<'MODULES'
nvme
xen-blkfront
xen-netfront
ena
ext4
MODULES
sed -i 's/^MODULES=.*/MODULES=list/; s/^COMPRESS=.*/COMPRESS=zstd/' "$root/etc/initramfs-tools/initramfs.conf"
echo 'RESUME=none' > "$root/etc/initramfs-tools/conf.d/resume"
echo ip-192-168-1-10 > "$root/etc/hostname"
printf '127.0.0.1\tlocalhost\n127.0.1.1\tip-192-168-1-10\n' > "$root/etc/hosts"
printf 'root:refloat\n' | chroot "$root" chpasswd

say "initramfs and GRUB configuration"
chroot "$root" update-initramfs -u > "$work/initramfs.log" 2>&1
mkdir -p "$root/boot/grub/i386-pc"
cp "$root"/usr/lib/grub/i386-pc/*.mod "$root"/usr/lib/grub/i386-pc/*.lst "$root/boot/grub/i386-pc/"
# grub-mkconfig leaves loop devices out, unless losetup says that they stand for something else.
mkdir "$root/tmp/bin"
printf '#!/bin/sh\necho "$1: (/dev/xvda1)"\n' > "$root/tmp/bin/losetup"
chmod +x "$root/tmp/bin/losetup"
PATH=/tmp/bin:$PATH chroot "$root" grub-mkconfig -o /boot/grub/grub.cfg > "$work/grub.log" 2>&1
sed -i '/^\t*loopback loop/d; /^\t*set root=(loop/d' "$root/boot/grub/grub.cfg"
grep -q 'root=/dev/xvda1 ro' "$root/boot/grub/grub.cfg"

say "GRUB in the MBR and the gap after it"
# No `grub-install`: it wants kernel partitions on the loop device. The two patches are those its setup program makes.
printf 'search.fs_uuid 24e7baea-0000-4ec2-8000-00000000de12 root\nset prefix=($root)/boot/grub\n' > "$root/tmp/early.cfg"
chroot "$root" grub-mkimage -O i386-pc -c /tmp/early.cfg -p /boot/grub -o /tmp/core.img \
    biosdisk part_msdos ext2 search_fs_uuid normal configfile
cp "$root/usr/lib/grub/i386-pc/boot.img" "$root/tmp/core.img" "$work/"
rm "$root/tmp/early.cfg" "$root/tmp/core.img"
cd "$work"
sectors=$((($(stat -c %s core.img) + 511) / 512))
test "$sectors" -lt 2040
le16() { printf "\\$(printf %03o $(($1 & 255)))\\$(printf %03o $(($1 >> 8)))"; }
patch() { dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
printf '\001\000\000\000\000\000\000\000' | patch boot.img 92   # where core.img starts: sector 1
printf '\377' | patch boot.img 100                              # the boot drive: as the BIOS says
printf '\220\220' | patch boot.img 102                          # no jump over that
printf '\002\000\000\000\000\000\000\000' | patch core.img 500  # the rest of core.img: sector 2,
le16 $((sectors - 1)) | patch core.img 508                      # that many,
le16 $((0x820)) | patch core.img 510                            # at this segment
dd if=boot.img of="$image" bs=1 count=440 conv=notrunc status=none
dd if=core.img of="$image" bs=512 seek=1 conv=notrunc status=none

say "cleaning up"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/tmp/*
: > "$root/etc/machine-id"
cd /
sync
