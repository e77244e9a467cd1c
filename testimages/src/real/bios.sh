
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
    # No `grub-install`: it wants kernel partitions on the loop device. The patches are those its setup program makes.
    printf 'search.fs_uuid %s root\nset prefix=($root)/boot/grub\n' "$root_uuid" > "$root/tmp/early.cfg"
    chroot "$root" grub-mkimage -O i386-pc -c /tmp/early.cfg -p /boot/grub -o /tmp/core.img \
        biosdisk part_msdos ext2 search_fs_uuid normal configfile
    cp "$root/usr/lib/grub/i386-pc/boot.img" "$root/tmp/core.img" "$work/"
    cd "$work"
    sectors=$((($(stat -c %s core.img) + 511) / 512))
    test "$sectors" -lt 2040
    printf '\001\000\000\000\000\000\000\000' | patch boot.img 92   # where core.img starts: sector 1
    printf '\377' | patch boot.img 100                              # the boot drive: as the BIOS says
    printf '\220\220' | patch boot.img 102                          # no jump over that
    printf '\002\000\000\000\000\000\000\000' | patch core.img 500  # the rest of core.img: sector 2,
    le16 $((sectors - 1)) | patch core.img 508                      # that many,
    le16 $((0x820)) | patch core.img 510                            # at this segment
    dd if=boot.img of="$1" bs=1 count=440 conv=notrunc status=none
    dd if=core.img of="$1" bs=512 seek=1 conv=notrunc status=none
}
le16() { printf "\\$(printf %03o $(($1 & 255)))\\$(printf %03o $(($1 >> 8)))"; }
patch() { dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
