
install_loader() {
    say "GRUB in the MBR and the gap after it"
    install_blscfg i386-pc
    printf 'source $prefix/blscfg.cfg\nconfigfile $prefix/grub.cfg\n' > "$root/boot/grub2/start.cfg"
    printf "search.fs_uuid $loader_uuid root\nset prefix=(\$root)$boot/grub2\nnormal \$prefix/start.cfg\n" > "$root/tmp/early.cfg"
    chroot "$root" grub-mkimage -O i386-pc -c /tmp/early.cfg -p "$boot/grub2" -o /tmp/core.img \
        biosdisk part_msdos xfs search_fs_uuid normal configfile
    cp "$root/tmp/core.img" "$work/"
    embed "$1"
}
