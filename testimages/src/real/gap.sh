
# Puts GRUB's core image ($work/core.img) in the gap after the MBR, as its setup program would: IMAGE.
embed() {
    cp "$root/usr/lib/grub/i386-pc/boot.img" "$work/"
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
