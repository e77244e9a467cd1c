
# Builds a real, bootable Debian 12 as it would come out of an EC2 instance: a boot loader, an initramfs, a kernel command
# line, mounts, a network and a clock that all expect Amazon's devices. Which devices, the part before this one says: an
# older instance's or a newer one's. Runs as root.
#   usage: debian.sh WORK_DIRECTORY IMAGE TAR
work=$1 image=$2 tar=$3
root=$work/root
root_uuid=24e7baea-0000-4ec2-8000-00000000de12

say "image and file system"
rm -f "$image"
truncate -s 2G "$image"
partition "$image"
mke2fs -q -t ext4 -U "$root_uuid" -L '' \
    -E "offset=$root_offset,hash_seed=24e7baea-0000-4ec2-8000-00000000de13" "$image" "${root_kib}k"
mkdir -p "$root"
bind -o "loop,offset=$root_offset" "$image" "$root"
tar --extract --file "$tar" --zstd --numeric-owner --xattrs --xattrs-include='*' --directory "$root"

say "boot loader ($loader)"
furnish "$root"
# The root device has the name it had on EC2.
loop=$(findmnt -no SOURCE "$root")
for name in "$loop" "$root_device"; do
    mknod "$root$name" b "$(stat -c %Hr "$loop")" "$(stat -c %Lr "$loop")"
done
apt_install "$root" "$work/apt.log" $loader
rm "$root/usr/sbin/policy-rc.d" "$root/etc/dpkg/dpkg.cfg.d/unsafe-io"

say "dressing it as an EC2 instance"
cat > "$root/etc/fstab" <<FSTAB
# /etc/fstab: static file system information
$root_device	/	ext4	defaults,discard,errors=remount-ro	0	1
$instance_store	/mnt	auto	defaults,nofail,comment=cloudconfig	0	2
fs-0123456789abcdef0:/	/srv	efs	_netdev,nofail,tls	0	0
$mounts
FSTAB
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
printf '%s\n' $initramfs_modules > "$root/etc/initramfs-tools/modules"
sed -i 's/^MODULES=.*/MODULES=list/; s/^COMPRESS=.*/COMPRESS=zstd/' "$root/etc/initramfs-tools/initramfs.conf"
echo 'RESUME=none' > "$root/etc/initramfs-tools/conf.d/resume"

say "initramfs and GRUB configuration"
chroot "$root" update-initramfs -u > "$work/initramfs.log" 2>&1
# grub-mkconfig leaves loop devices out, unless losetup says that they stand for something else.
mkdir "$root/tmp/bin"
printf '#!/bin/sh\necho "$1: (%s)"\n' "$root_device" > "$root/tmp/bin/losetup"
chmod +x "$root/tmp/bin/losetup"
PATH=/tmp/bin:$PATH chroot "$root" grub-mkconfig -o /boot/grub/grub.cfg > "$work/grub.log" 2>&1
sed -i '/^\t*loopback loop/d; /^\t*set root=(loop/d' "$root/boot/grub/grub.cfg"
grep -q "root=$root_device ro" "$root/boot/grub/grub.cfg"
install_loader "$image"

dress
cd /
sync
