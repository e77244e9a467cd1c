
# As Red Hat's installer does it: /boot on a partition, the root on a logical volume; GRUB in an MBR. An initramfs of each
# compressor, one for each entry of the menu: the first is the one that starts.
boot_device=/dev/xvda1
boot_offset=1048576
boot_kib=$((320 * 1024))
volume_offset=336592896
volume_kib=$((1727 * 1024))
instance_store=/dev/xvdb
loader=grub-pc-bin
drivers="nvme xen-blkfront xen-netfront ena xfs"
compressors="zstd gzip lz4"

partition() {
    printf 'label: dos\nlabel-id: 0xec2deb1a\nstart=2048, size=655360, type=83, bootable\nstart=657408, type=8e\n' |
        sfdisk -q "$1"
}
