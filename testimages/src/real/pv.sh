
# Builds a paravirtual Debian 12 as it would come out of an old EC2 instance: a file system on the bare disk, the menu.lst that
# EC2's PV-GRUB reads, Xen's console and devices, and no boot loader anywhere. Runs as root.
#   usage: pv.sh WORK_DIRECTORY IMAGE TAR
work=$1 image=$2 tar=$3
root=$work/root

say "file system on the bare disk"
rm -f "$image"
truncate -s 2G "$image"
mke2fs -q -F -t ext4 -U 24e7baea-0000-4ec2-8000-0000000000a1 -E hash_seed=24e7baea-0000-4ec2-8000-0000000000a2 "$image"
mkdir -p "$root"
bind -o loop "$image" "$root"
tar --extract --file "$tar" --zstd --numeric-owner --xattrs --xattrs-include='*' --directory "$root"
furnish "$root"
rm "$root/usr/sbin/policy-rc.d" "$root/etc/dpkg/dpkg.cfg.d/unsafe-io"

say "initramfs"
cat > "$root/etc/fstab" <<'FSTAB'
/dev/xvda1	/	ext4	defaults,errors=remount-ro	0	1
/dev/xvda2	/mnt	ext3	defaults,nofail	0	2
FSTAB
printf '%s\n' xen-blkfront xen-netfront ext4 > "$root/etc/initramfs-tools/modules"
sed -i 's/^MODULES=.*/MODULES=list/; s/^COMPRESS=.*/COMPRESS=gzip/' "$root/etc/initramfs-tools/initramfs.conf"
echo 'RESUME=none' > "$root/etc/initramfs-tools/conf.d/resume"
chroot "$root" update-initramfs -u > "$work/initramfs.log" 2>&1

say "menu.lst"
kernel=$(ls "$root/boot" | sed -n 's/^vmlinuz-//p')
mkdir -p "$root/boot/grub"
cat > "$root/boot/grub/menu.lst" <<MENU
default         0
timeout         0
hiddenmenu

### BEGIN AUTOMAGIC KERNELS LIST
## ## Start Default Options ##
# kopt=root=/dev/xvda1 ro
# groot=(hd0)
# defoptions=console=hvc0
## ## End Default Options ##

title           Debian GNU/Linux, kernel $kernel
root            (hd0)
kernel          /boot/vmlinuz-$kernel root=/dev/xvda1 ro console=hvc0 net.ifnames=0
initrd          /boot/initrd.img-$kernel

title           Debian GNU/Linux, kernel $kernel (single-user mode)
root            (hd0)
kernel          /boot/vmlinuz-$kernel root=/dev/xvda1 ro console=hvc0 net.ifnames=0 single
initrd          /boot/initrd.img-$kernel

### END DEBIAN AUTOMAGIC KERNELS LIST
MENU
mkdir -p "$root/etc/systemd/system/getty.target.wants"
ln -s /lib/systemd/system/serial-getty@.service "$root/etc/systemd/system/getty.target.wants/serial-getty@hvc0.service"

dress
cd /
sync
