
# An older instance: GRUB in an MBR, and Xen's devices.
root_device=/dev/xvda1
root_offset=1048576
root_kib=$((2 * 1048576 - 1024))
instance_store=/dev/xvdb
mounts=
loader="grub-pc"
initramfs_modules="nvme xen-blkfront xen-netfront ena ext4"

partition() {
    printf 'label: dos\nlabel-id: 0xec2deb1a\nstart=2048, type=83, bootable\n' | sfdisk -q "$1"
}

install_loader() {
    say "GRUB in the MBR and the gap after it"
    mkdir -p "$root/boot/grub/i386-pc"
    cp "$root"/usr/lib/grub/i386-pc/*.mod "$root"/usr/lib/grub/i386-pc/*.lst "$root/boot/grub/i386-pc/"
    # No `grub-install`: it wants kernel partitions on the loop device.
    printf 'search.fs_uuid %s root\nset prefix=($root)/boot/grub\n' "$root_uuid" > "$root/tmp/early.cfg"
    chroot "$root" grub-mkimage -O i386-pc -c /tmp/early.cfg -p /boot/grub -o /tmp/core.img \
        biosdisk part_msdos ext2 search_fs_uuid normal configfile
    cp "$root/tmp/core.img" "$work/"
    embed "$1"
}
