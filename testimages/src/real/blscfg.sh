
# What Red Hat's GRUB has a module for and Debian's has not: a menu entry for each file of the Boot Loader Specification, by a
# script beside grub.cfg. To the platform's modules ($1): `linux` and `initrd` become commands when asked for, not before.
install_blscfg() {
    mkdir -p "$root/boot/grub2/$1"
    cp "$root/usr/lib/grub/$1"/*.mod "$root/usr/lib/grub/$1"/*.lst "$root/boot/grub2/$1/"
    sed -i '/^\**linux:/d; /^\**initrd:/d' "$root/boot/grub2/$1/command.lst"
    cat > "$root/boot/grub2/blscfg.cfg" <<'CONFIG'
insmod regexp
function title { set title="$*"; }
function linux { set kernel="$1"; }
function initrd { set initrd="$1"; }
function options { set options="$*"; }
function version { set ignored="$*"; }
function grub_users { set ignored="$*"; }
function grub_arg { set ignored="$*"; }
function grub_class { set ignored="$*"; }
function blscfg {
    for entry in ($root)/loader/entries/*.conf ($root)/boot/loader/entries/*.conf; do
        if [ -f "$entry" ]; then
            source "$entry"
            regexp --set=id '([^/]*)\.conf$' "$entry"
            menuentry "$title" --id "$id" "$kernel" "$initrd" "$options" {
                insmod linux
                linux "$2" $4
                initrd "$3"
            }
        fi
    done
}
CONFIG
}
