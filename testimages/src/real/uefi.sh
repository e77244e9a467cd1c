
# A newer instance: GRUB on the EFI partition of a GPT, where only a boot entry in the firmware finds it, and NVMe. Its
# initramfs has drivers for an AHCI disk as well, so that any QEMU can boot it once that is mended.
root_device=/dev/nvme0n1p1
root_offset=134217728
root_kib=$((1919 * 1024))
instance_store=/dev/nvme1n1
mounts="/dev/nvme0n1p15	/boot/efi	vfat	umask=0077	0	1"
loader="grub-efi-amd64 grub-efi-amd64-signed shim-signed"
initramfs_modules="nvme xen-blkfront xen-netfront ena ahci sd_mod ext4"

partition() {
    sgdisk --clear --disk-guid ec2deb1a-0000-4ec2-8000-00000000de12 \
        --new 15:2048:260095 --typecode 15:ef00 --partition-guid 15:ec2deb1a-000f-4ec2-8000-00000000de12 \
        --new 1:262144:4192255 --typecode 1:8300 --partition-guid 1:ec2deb1a-0001-4ec2-8000-00000000de12 "$1" > /dev/null
}

install_loader() {
    say "shim and GRUB on the EFI partition"
    mkdir -p "$root/boot/efi" "$root/boot/grub/x86_64-efi"
    cp "$root"/usr/lib/grub/x86_64-efi/*.mod "$root"/usr/lib/grub/x86_64-efi/*.lst "$root/boot/grub/x86_64-efi/"
    esp=$work/esp.img
    truncate -s 126M "$esp"
    mkfs.vfat -F 32 -i EC2AE5B0 "$esp" > /dev/null
    printf "search.fs_uuid %s root\nset prefix=(\$root)'/boot/grub'\nconfigfile \$prefix/grub.cfg\n" "$root_uuid" \
        > "$work/grub.cfg"
    mmd -i "$esp" ::/EFI ::/EFI/debian
    put() { mcopy -i "$esp" "$1" "::/EFI/debian/$2"; }
    put "$root/usr/lib/shim/shimx64.efi.signed" shimx64.efi
    put "$root/usr/lib/shim/mmx64.efi.signed" mmx64.efi
    put "$root/usr/lib/shim/fbx64.efi.signed" fbx64.efi
    put "$root/usr/lib/shim/BOOTX64.CSV" BOOTX64.CSV
    put "$root/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" grubx64.efi
    put "$work/grub.cfg" grub.cfg
    dd if="$esp" of="$1" bs=1M seek=1 conv=notrunc,sparse status=none
}
