
# The same on a GPT, with NVMe: an EFI partition, /boot, and the root on a logical volume. No loader where firmware looks
# that has not the old one's boot entry. The initramfs has drivers for an AHCI disk as well, so that any QEMU can boot it
# once that is mended.
boot_device=/dev/nvme0n1p2
boot_offset=134217728
boot_kib=$((320 * 1024))
volume_offset=469762048
volume_kib=$((1599 * 1024))
instance_store=/dev/nvme1n1
mounts="/dev/nvme0n1p1	/boot/efi	vfat	umask=0077	0	1"
loader="grub-efi-amd64-bin shim-signed"
drivers="nvme xen-blkfront xen-netfront ena ahci sd_mod xfs"
compressors=zstd

partition() {
    sgdisk --clear --disk-guid ec2deb1a-0000-4ec2-8000-00000000de22 \
        --new 1:2048:260095 --typecode 1:ef00 --partition-guid 1:ec2deb1a-0001-4ec2-8000-00000000de22 \
        --new 2:262144:917503 --typecode 2:8300 --partition-guid 2:ec2deb1a-0002-4ec2-8000-00000000de22 \
        --new 3:917504:4192255 --typecode 3:8e00 --partition-guid 3:ec2deb1a-0003-4ec2-8000-00000000de22 "$1" > /dev/null
}

install_loader() {
    say "shim and GRUB on the EFI partition"
    mkdir -p "$root/boot/efi"
    install_blscfg x86_64-efi
    # Not the signed one, which has `linux` built in.
    chroot "$root" grub-mkimage -O x86_64-efi -p /EFI/debian -o /tmp/grubx64.efi \
        part_gpt fat xfs search search_fs_uuid normal configfile
    esp=$work/esp.img
    truncate -s 126M "$esp"
    mkfs.vfat -F 32 -i EC2AE5B0 "$esp" > /dev/null
    # Red Hat's wrapper.
    printf "search --no-floppy --fs-uuid --set=root $boot_uuid\nset prefix=(\$root)/grub2\nexport \$prefix\n" > "$work/grub.cfg"
    printf 'source $prefix/blscfg.cfg\nconfigfile $prefix/grub.cfg\n' >> "$work/grub.cfg"
    mmd -i "$esp" ::/EFI ::/EFI/debian
    put() { mcopy -i "$esp" "$1" "::/EFI/debian/$2"; }
    put "$root/usr/lib/shim/shimx64.efi.signed" shimx64.efi
    put "$root/usr/lib/shim/BOOTX64.CSV" BOOTX64.CSV
    put "$root/tmp/grubx64.efi" grubx64.efi
    put "$work/grub.cfg" grub.cfg
    dd if="$esp" of="$1" bs=1M seek=1 conv=notrunc,sparse status=none
}
