
# One partition, as Amazon's images have it: the root by the name of its device, and entries with all options in them.
root_device=/dev/xvda1
root_offset=1048576
root_kib=$((2047 * 1024))
instance_store=/dev/xvdb
loader=grub-pc-bin
drivers="nvme xen-blkfront xen-netfront ena xfs"
compressors=gzip

partition() {
    printf 'label: dos\nlabel-id: 0xec2deb1a\nstart=2048, type=83, bootable\n' | sfdisk -q "$1"
}
