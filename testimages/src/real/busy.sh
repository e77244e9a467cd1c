
# A snapshot of a Debian that runs: its root file system mounted and worked on by several processes, the disk copied at one
# instant. XFS shares extents, so its copy is one. Which file system of the disk, the part before this one says. As root.
#   usage: busy.sh WORK_DIRECTORY SNAPSHOT SOURCE
work=$1 snapshot=$2 source=$3
store=$work/store root=$work/root workers=
trap 'test -z "$workers" || kill $workers; wait; cleanup' EXIT

say "a disk that can be snapshotted"
mkdir -p "$store" "$root"
truncate -s 4G "$work/store.img"
mkfs.xfs -q "$work/store.img"
bind -o loop "$work/store.img" "$store"
cp --sparse=always "$source" "$store/disk.raw"
bind -o "loop,offset=$root_offset,commit=1" "$store/disk.raw" "$root"

# A seeded number below $1, in $picked.
pick() {
    random=$(((random * 1103515245 + 12345) & 0x7fffffff))
    picked=$(((random >> 12) % $1))
}

# Some KiB of a program, to $1.
fill() {
    pick 400
    dd if="$root/usr/bin/perl" of="$1" bs=4k skip="$picked" count=$((picked % 30 + 1)) conv=notrunc "$2" status=none
}

# Does what package managers, daemons and editors do to files, for ever: SEED.
toil() {
    random=$1 home=$root/var/cache/toil-$1
    mkdir -p "$home"
    set -- "$root"/usr/share/doc/*/copyright
    while :; do
        pick 30
        file=$home/$picked
        pick 10
        case $picked in
            0 | 1) fill "$file" conv=fsync ;;
            2) fill "$file" oflag=append ;;
            3) truncate -s $((random % 300000)) "$file" ;;
            4) mv -f "$file" "$home/renamed-${file##*/}" ;;
            5) rm -rf "$file" ;;
            6) # in use while it is deleted, and after
                exec 9> "$home/deleted"
                fill "$home/deleted" conv=notrunc
                rm "$home/deleted"
                echo "still written to" >&9 ;;
            7) # as dpkg replaces a file
                pick $#
                eval "doc=\${$((picked + 1))}"
                cp -p "$doc" "$doc.dpkg-new"
                sync "$doc.dpkg-new"
                mv "$doc.dpkg-new" "$doc" ;;
            8) ln -sf "somewhere/$random" "$home/link"; ln -f "$1" "$home/hard" ;;
            9) mkdir -p "$home/tree-$random/below"; rm -rf "$home"/tree-*[0-4] ;;
        esac
    done 2> /dev/null
}

say "at work, and a snapshot"
set +e
for seed in 1 2 3 4; do
    toil $seed &
    workers="$workers $!"
done
sleep 3
sync
sleep 2
cp --reflink=always "$store/disk.raw" "$store/snapshot.raw" || exit 1
for worker in $workers; do kill -0 "$worker" || exit 1; done
set -e
kill $workers
workers=
wait
cp --sparse=always "$store/snapshot.raw" "$snapshot"
