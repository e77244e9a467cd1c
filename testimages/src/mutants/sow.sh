
# Sows one fault into the image of a real guest: its file systems are mounted as it mounts them, and the names below say
# where things are, however the guest is laid out. What comes behind this is the fault. Runs as root.
#   usage: sow.sh WORK_DIRECTORY IMAGE
work=$1 image=$2
root=$work/root probe=$work/probe esp= boot_offset= root_type=
mkdir -p "$root" "$probe" "$work/tmp"

# OFFSET SIZE POINT of a file system whose type is $type.
mount_at() {
    options="loop,offset=$1,sizelimit=$2"
    test "$type" != xfs || options=$options,nouuid
    bind -o "$options" "$image" "$3"
}

# Where the one logical volume is, over all of the physical one: OFFSET SIZE.
find_volume() {
    loop=$(losetup --find --show --offset "$1" --sizelimit "$2" "$image")
    trap 'losetup --detach "$loop"; cleanup' EXIT
    lvm() {
        command lvm "$@" --driverloaded n --devices "$loop" --noheadings --nosuffix --units b \
            --config 'devices { hints="none" obtain_device_list_from_udev=0 } backup { backup=0 archive=0 }' 2>> "$work/lvm.log"
    }
    start=$(lvm pvs -o pe_start) size=$(lvm lvs -o lv_size vg0/root)
    losetup --detach "$loop"
    trap cleanup EXIT
    volume_offset=$(($1 + start)) volume_size=$((size))
}

# What is in a partition: OFFSET SIZE.
look_at() {
    offset=$1 size=$2
    type=$(blkid -p -O "$offset" -S "$size" -s TYPE -o value "$image" || true)
    case $type in
        vfat) esp=$image@@$offset; return ;;
        LVM2_member) find_volume "$offset" "$size"; offset=$volume_offset size=$volume_size; type=xfs ;;
        ext4 | xfs) ;;
        *) return ;;
    esac
    mount_at "$offset" "$size" "$probe"
    if test -e "$probe/etc/fstab"; then
        root_offset=$offset root_size=$size root_type=$type
    else
        boot_offset=$offset boot_size=$size boot_type=$type
    fi
    cleanup
}

partitions=$(partx -rbgo START,SIZE "$image" 2> /dev/null || true)
if test -n "$partitions"; then
    while read -r start bytes; do look_at $((start * 512)) "$bytes"; done <<PARTITIONS
$partitions
PARTITIONS
else
    look_at 0 "$(stat -c %s "$image")"
fi
type=$root_type
mount_at "$root_offset" "$root_size" "$root"
if test -n "$boot_offset"; then
    type=$boot_type
    mount_at "$boot_offset" "$boot_size" "$root/boot"
fi

# The names of what a boot needs.
boot=$root/boot
kernel=$(echo "$boot"/vmlinuz-*)
release=${kernel##*/vmlinuz-}
initrd=$(ls "$boot/initrd.img-$release" "$boot/initramfs-$release.img" 2> /dev/null || true)
grub=$(dirname "$(ls "$boot/grub2/grub.cfg" "$boot/grub/grub.cfg" "$boot/grub/menu.lst" 2> /dev/null | head -n 1)")
menu=$(ls "$grub/grub.cfg" "$grub/menu.lst" 2> /dev/null | head -n 1)
loader=$(ls -d "$grub/i386-pc" "$grub/x86_64-efi" 2> /dev/null | head -n 1)
entry=$(ls "$boot/loader/entries/"*"-$release.conf" 2> /dev/null || true)
lib=$root/usr/lib/x86_64-linux-gnu
units=$root/etc/systemd/system
# Where the command line of the kernel is written: lines that begin with linux or options, or a variable.
command_lines=$(ls "$menu" ${entry:+"$entry"} "$grub/grubenv" 2> /dev/null || true)

# Something must change, else this is no mutant.
replace() { # SED_SCRIPT FILE...
    script=$1 changed=
    shift
    for file; do
        before=$(sha256sum < "$file")
        sed -i "$script" "$file"
        test "$before" = "$(sha256sum < "$file")" || changed=1
    done
    test -n "$changed" || { say "nothing to change: $script"; exit 3; }
}

# Adds to the kernel's command line, wherever it is written. GRUB's block of variables keeps its 1024 bytes.
add_argument() {
    replace "s|^\(\s*linux\s.*\)\$|\1 $1|; s|^\(\s*kernel\s.*\)\$|\1 $1|; s|^\(options .*\)\$|\1 $1|" "$menu" ${entry:+"$entry"}
    if test -e "$grub/grubenv" && grep -q '^kernelopts=' "$grub/grubenv"; then
        grub-editenv "$grub/grubenv" set "$(sed -n "s|^\(kernelopts=.*\)\$|\1 $1|p" "$grub/grubenv")"
    fi
}

half() { truncate -s $(($(stat -Lc %s "$1") / 2)) "$1"; }

# Exchanges what is in two files.
swap() {
    cp "$1" "$work/tmp/swapped"
    cat "$2" > "$1"
    cat "$work/tmp/swapped" > "$2"
}

mask() { for unit; do mkdir -p "$units"; ln -sfn /dev/null "$units/$unit"; done; }

# The initramfs as files below $work/initramfs, and back, with the early archive, if any, as it was.
unpack_initrd() {
    mkdir "$work/initramfs"
    python3 - "$initrd" "$work" <<'SPLIT'
import sys
data, work = open(sys.argv[1], "rb").read(), sys.argv[2]
magics = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b\x08": "gzip", b"\x02\x21\x4c\x18": "lz4"}
found = [(data.find(magic), name) for magic, name in magics.items()]
start, name = 0, "cat"
if data[:6] == b"070701" and b"early_cpio" not in data[:4096]:
    pass
else:
    start, name = min((at, name) for at, name in found if at >= 0)
open(work + "/early", "wb").write(data[:start])
open(work + "/late", "wb").write(data[start:])
open(work + "/compressor", "w").write(name)
SPLIT
    compressor=$(cat "$work/compressor")
    case $compressor in cat) cat "$work/late" ;; *) $compressor -dc "$work/late" ;; esac |
        (cd "$work/initramfs" && cpio -idm --quiet)
}
pack_initrd() {
    (cd "$work/initramfs" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) > "$work/packed"
    case $compressor in
        cat) ;;
        lz4) lz4 -q -l -c "$work/packed" > "$work/packed.z"; mv "$work/packed.z" "$work/packed" ;;
        *) $compressor -q -c "$work/packed" > "$work/packed.z"; mv "$work/packed.z" "$work/packed" ;;
    esac
    cat "$work/early" "$work/packed" > "$initrd"
}
without_modules() { # NAME...
    unpack_initrd
    for module; do find "$work/initramfs" -name "$module.ko*" | grep . | xargs rm; done
    pack_initrd
}
in_initrd() { # PATH TEXT
    unpack_initrd
    mkdir -p "$(dirname "$work/initramfs/$1")"
    printf '%s\n' "$2" >> "$work/initramfs/$1"
    pack_initrd
}

# The EFI system partition, which this kernel does not mount.
esp_has() { mdir -b -i "$esp" "::$1" > /dev/null 2>&1; }
esp_remove() { mdel -i "$esp" "::$1"; }
esp_change() { # PATH COMMAND with the file's name behind it
    mcopy -n -i "$esp" "::$1" "$work/tmp/esp"
    $2 "$work/tmp/esp"
    mcopy -o -i "$esp" "$work/tmp/esp" "::$1"
}
empty() { : > "$1"; }

# Bytes of the disk: OFFSET COUNT of zeros.
wipe() { dd if=/dev/zero of="$image" bs=1 seek="$1" count="$2" conv=notrunc status=none; }
# After the last use of a mounted file: the disk itself is changed below the file systems.
let_go() { cd /; sync; cleanup; }

