//! Volume groups made by lvm2: our map of each volume is lvm2's own, and what cannot be opened is said by
//! name.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use block::{Disk, DiskMut, ErrorKind, FileDisk, Overlay};
use testimages::lvm::{self, Devices};
use volume::lvm2::{LogicalVolume, Map, Scan, scan};

const PV_SIZE: u64 = 24 << 20;

/// Physical volumes in files of one folder.
struct Bench {
    folder: tempfile::TempDir,
    devices: Devices,
}

impl Bench {
    /// A group of so many physical volumes, with extents of 256 KiB and this much space for the metadata.
    fn new(count: usize, ring: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = (0..count).map(|number| folder.path().join(format!("{number}.img"))).collect();
        for path in &paths {
            File::create(path).unwrap().set_len(PV_SIZE).unwrap();
        }
        let places: Vec<_> = paths.iter().map(|path| (path.as_path(), 0..PV_SIZE)).collect();
        let devices = Devices::over(&places);
        let all: Vec<_> = (0..count).map(|number| devices.path(number).to_owned()).collect();
        let mut arguments = vec!["-s", "256k", "--metadatasize", ring, "--dataalignment", ring, "vg0"];
        arguments.extend(all.iter().map(String::as_str));
        devices.lvm("vgcreate", &arguments);
        Self { folder, devices }
    }

    fn create(&self, arguments: &[&str]) {
        self.devices.lvm("lvcreate", &[&["-an", "-Zn", "-Wn"], arguments].concat());
    }

    fn path(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("{number}.img"))
    }

    fn disk(&self, number: usize) -> (String, Disk) {
        (format!("disk {number}"), FileDisk::open(&self.path(number)).unwrap().disk())
    }
}

fn disks(devices: &[(String, Disk)]) -> Vec<Disk> {
    devices.iter().map(|(_, disk)| disk.clone()).collect()
}

fn volume<'a>(scan: &'a Scan, name: &str) -> &'a LogicalVolume {
    let found = scan.groups[0].volumes.iter().find(|volume| volume.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {scan:?}"))
}

fn why(scan: &Scan, name: &str) -> String {
    volume(scan, name).map.clone().expect_err(name)
}

/// Bytes of a volume that tell where they belong.
fn content(name: &str, at: u64, len: u64) -> Vec<u8> {
    let seed = name.bytes().fold(7, |seed: u64, byte| seed * 31 + u64::from(byte));
    (at..at + len).map(|at| (seed.wrapping_mul(at / 8 + 1) >> (at % 8 * 8)) as u8).collect()
}

/// Each run of a volume as lvm2 has it: where it is in the volume, on which device, and where there.
fn runs(devices: &Devices, name: &str) -> Vec<(u64, usize, Range<u64>)> {
    let mut at = 0;
    let runs = devices.runs(&format!("vg0/{name}")).into_iter();
    runs.map(|(device, range)| {
        let start = at;
        at += range.end - range.start;
        (start, device, range)
    })
    .collect()
}

#[test]
fn volumes_are_where_lvm2_has_them() {
    if !lvm::need() {
        return;
    }
    let bench = Bench::new(3, "1m");
    // Alone, in pieces, over the end of a device, striped, and striped in pieces.
    for arguments in [
        ["-L", "3m", "-n", "root", "vg0"].as_slice(),
        &["-L", "1m", "-n", "my-data", "vg0"],
        &["-i", "2", "-I", "16k", "-L", "2m", "-n", "stripe", "vg0"],
        &["-L", "19m", "-n", "large", "vg0"],
        &["-i", "3", "-I", "64k", "-L", "3m", "-n", "three", "vg0"],
    ] {
        bench.create(arguments);
    }
    for arguments in [["-L", "5m", "vg0/root"], ["-L", "4m", "vg0/stripe"], ["-l", "20", "vg0/my-data"]] {
        bench.devices.lvm("lvextend", &arguments);
    }
    let names = ["root", "my-data", "stripe", "large", "three"];
    let files: Vec<_> =
        (0..3).map(|n| File::options().read(true).write(true).open(bench.path(n)).unwrap()).collect();
    for name in names {
        for (at, device, range) in runs(&bench.devices, name) {
            let bytes = content(name, at, range.end - range.start);
            files[device].write_all_at(&bytes, range.start).unwrap();
        }
    }

    let devices: Vec<_> = (0..3).map(|number| bench.disk(number)).collect();
    let found = scan(&devices).unwrap();
    assert_eq!(found.problems, [] as [String; 0]);
    let group = &found.groups[0];
    let identity =
        bench.devices.report("vgs", "vg_name,vg_uuid,vg_seqno,vg_extent_size", &[]).remove(0).join(" ");
    let ours = format!("{} {} {} {}", group.name, group.uuid, group.seqno, group.extent_size);
    assert_eq!(ours, identity);
    let physical: Vec<_> = found.physical.iter().map(|pv| (pv.device, pv.uuid.clone())).collect();
    let theirs = bench.devices.report("pvs", "pv_name,pv_uuid", &[]);
    for (number, uuid) in physical {
        assert!(theirs.contains(&vec![bench.devices.path(number).to_owned(), uuid]), "{theirs:?}");
    }
    for row in bench.devices.report("lvs", "lv_name,lv_uuid,lv_size", &[]) {
        let volume = volume(&found, &row[0]);
        assert_eq!([volume.uuid.clone(), volume.size.to_string()], row[1..], "{}", row[0]);
    }
    assert_eq!(group.volumes.len(), names.len());

    for name in names {
        let disk = found.map("vg0", name).unwrap().open(&disks(&devices)).unwrap();
        assert_eq!(disk.size(), volume(&found, name).size);
        let bytes = disk.read_vec(0, disk.size() as usize).unwrap();
        assert!(bytes == content(name, 0, disk.size()), "{name}");
    }

    // Written through, and nothing beside it: the other volumes stay.
    let overlays: Vec<_> = disks(&devices).into_iter().map(|disk| Overlay::new(disk).unwrap()).collect();
    let writers: Vec<DiskMut> = overlays.iter().map(Overlay::writer).collect();
    for name in ["root", "stripe", "large"] {
        let writer = found.map("vg0", name).unwrap().open_mut(&writers).unwrap();
        writer.write_at(&content("new", 0, writer.size()), 0).unwrap();
    }
    for name in names {
        let name_of_content = if ["root", "stripe", "large"].contains(&name) { "new" } else { name };
        for (at, device, range) in runs(&bench.devices, name) {
            let len = range.end - range.start;
            let bytes = overlays[device].disk().read_vec(range.start, len as usize).unwrap();
            assert!(bytes == content(name_of_content, at, len), "{name} at {at}");
        }
    }
}

#[test]
fn a_missing_physical_volume_is_named_and_the_rest_opens() {
    if !lvm::need() {
        return;
    }
    let bench = Bench::new(2, "1m");
    let (first, second) = (bench.devices.path(0).to_owned(), bench.devices.path(1).to_owned());
    bench.create(&["-L", "2m", "-n", "here", "vg0", &first]);
    bench.create(&["-L", "2m", "-n", "there", "vg0", &second]);
    bench.create(&["-i", "2", "-L", "2m", "-n", "both", "vg0"]);
    let missing = bench.devices.report("pvs", "pv_name,pv_uuid", &[]);
    let missing = missing.iter().find(|row| row[0] == second).unwrap()[1].clone();

    let alone = [bench.disk(0)];
    let found = scan(&alone).unwrap();
    // The judge, with the same device alone.
    let judge = Devices::over(&[(&bench.path(0), 0..PV_SIZE)]);
    for row in judge.report("lvs", "lv_name,lv_health_status", &[]) {
        let opens = found.map("vg0", &row[0]).and_then(|map| map.open(&disks(&alone)));
        assert_eq!(opens.is_ok(), row[1] != "partial", "{row:?}: {opens:?}");
    }
    assert!(why(&found, "there").contains(&missing), "{}", why(&found, "there"));
    assert!(found.problems.len() == 1 && found.problems[0].contains(&missing), "{:?}", found.problems);
    let error = found.map("vg0", "other").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
    assert!(error.to_string().contains("vg0/here") && error.to_string().contains(&missing), "{error}");
}

#[test]
fn a_copy_beside_its_original_is_told_and_neither_is_used() {
    if !lvm::need() {
        return;
    }
    let bench = Bench::new(2, "1m");
    let first = bench.devices.path(0).to_owned();
    bench.create(&["-L", "2m", "-n", "twice", "vg0", &first]);
    bench.create(&["-L", "2m", "-n", "once", "vg0", bench.devices.path(1)]);
    let (_, original) = bench.disk(0);
    let devices = [bench.disk(0), bench.disk(1), ("copy".to_owned(), original)];
    let found = scan(&devices).unwrap();
    assert_eq!(found.groups.len(), 1);
    assert!(found.problems.iter().any(|what| what.ends_with("disk 0, copy")), "{:?}", found.problems);
    assert!(why(&found, "twice").contains("more than once"));
    assert!(volume(&found, "once").map.is_ok());
}

#[test]
fn two_groups_of_one_name_are_listed_and_not_confused() {
    if !lvm::need() {
        return;
    }
    let (a, b) = (Bench::new(1, "1m"), Bench::new(1, "1m"));
    a.create(&["-L", "2m", "-n", "root", "vg0"]);
    let found = scan(&[a.disk(0), b.disk(0)]).unwrap();
    assert_eq!(found.groups.len(), 2);
    let error = found.map("vg0", "root").unwrap_err();
    assert!(error.to_string().contains("vg0/root: volume groups have one name: vg0 ("), "{error}");
    assert!(found.problems.len() == 1 && found.problems[0].contains(&found.groups[1].uuid), "{found:?}");
}

/// Whether the text that counts goes on behind the header of its metadata area.
fn wraps(path: &Path) -> bool {
    let mut header = [0; 64];
    File::open(path).unwrap().read_exact_at(&mut header, 4096).unwrap();
    let field = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
    let (size, text, len) = (field(32), field(40), field(48));
    text + len > size
}

#[test]
fn the_newest_metadata_count_wherever_they_are() {
    if !lvm::need() {
        return;
    }
    let bench = Bench::new(2, "32k");
    let first = bench.devices.path(0).to_owned();
    bench.create(&["-L", "2m", "-n", "root", "vg0", &first]);
    let old = fs::read(bench.path(1)).unwrap();
    let seqno = || bench.devices.report("vgs", "vg_seqno", &[]).remove(0).remove(0);
    let ours = || {
        let found = scan(&[bench.disk(0), bench.disk(1)]).unwrap();
        assert_eq!(found.problems, [] as [String; 0]);
        found
    };
    let mut wrapped = 0;
    for turn in 0..24 {
        bench.devices.lvm("vgchange", &["--addtag", &format!("turn{turn:0>800}"), "vg0"]);
        wrapped += u32::from(wraps(&bench.path(0)));
        assert_eq!(ours().groups[0].seqno.to_string(), seqno());
    }
    assert!(wrapped > 0, "no text went on behind the header");

    // One physical volume is of yesterday.
    bench.devices.lvm("lvextend", &["-L", "3m", "vg0/root"]);
    let now = seqno();
    fs::write(bench.path(1), &old).unwrap();
    let found = ours();
    assert_eq!(found.groups[0].seqno.to_string(), now);
    assert_eq!(volume(&found, "root").size, 3 << 20);

    // One physical volume has no metadata of its own, and what it had is not what counts.
    let bench = Bench::new(2, "1m");
    bench.devices.lvm("pvchange", &["--metadataignore", "y", bench.devices.path(1)]);
    bench.create(&["-L", "2m", "-n", "root", "vg0", bench.devices.path(1)]);
    let found = scan(&[bench.disk(0), bench.disk(1)]).unwrap();
    assert!(volume(&found, "root").map.is_ok());
    let found = scan(&[bench.disk(1)]).unwrap();
    assert_eq!((found.groups.len(), found.physical[0].group.as_deref()), (0, None));
}

/// The metadata of lvm2 with more volumes: those that lvm2 does not make without a device mapper.
fn with_volumes(text: &str, volumes: &[(&str, &str, bool)]) -> String {
    let mut more = String::new();
    for (number, (name, segment, visible)) in volumes.iter().enumerate() {
        let visible = if *visible { ", \"VISIBLE\"" } else { "" };
        more += &format!(
            "{name} {{\nid = \"AAAAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA{number:02}\"\nstatus = [\"READ\", \"WRITE\"{visible}]\n\
             flags = []\nsegment_count = 1\nsegment1 {{\nstart_extent = 0\nextent_count = 4\n{segment}\n}}\n}}\n"
        );
    }
    text.replacen("logical_volumes {\n", &format!("logical_volumes {{\n{more}"), 1)
}

#[test]
fn other_types_are_refused_by_name() {
    if !lvm::need() {
        return;
    }
    let bench = Bench::new(2, "1m");
    bench.create(&["-L", "2m", "-n", "root", "vg0"]);
    bench.create(&["-L", "2m", "-n", "plain", "vg0"]);
    let backup = bench.folder.path().join("vg0.backup");
    let path = backup.to_str().unwrap();
    bench.devices.lvm("vgcfgbackup", &["-f", path, "vg0"]);
    let linear: Vec<_> = (0..12)
        .map(|n| format!("type = \"striped\"\nstripe_count = 1\nstripes = [\"pv1\", {}]", 4 * n))
        .collect();
    let volumes = [
        ("cow", linear[0].as_str(), true),
        ("snapshot0", "type = \"snapshot\"\nchunk_size = 8\norigin = \"root\"\ncow_store = \"cow\"", true),
        ("pool_tdata", &linear[1], false),
        ("pool_tmeta", &linear[2], false),
        (
            "pool",
            "type = \"thin-pool\"\nmetadata = \"pool_tmeta\"\npool = \"pool_tdata\"\ntransaction_id = 1\n\
             chunk_size = 128\ndiscards = \"passdown\"\nzero_new_blocks = 1",
            true,
        ),
        ("thin", "type = \"thin\"\nthin_pool = \"pool\"\ntransaction_id = 0\ndevice_id = 1", true),
        ("mir_rmeta_0", &linear[3], false),
        ("mir_rimage_0", &linear[4], false),
        ("mir_rmeta_1", &linear[5], false),
        ("mir_rimage_1", &linear[6], false),
        (
            "mir",
            "type = \"raid1\"\ndevice_count = 2\nregion_size = 1024\n\
             raids = [\"mir_rmeta_0\", \"mir_rimage_0\", \"mir_rmeta_1\", \"mir_rimage_1\"]",
            true,
        ),
        ("old_mimage_0", &linear[7], false),
        ("old_mimage_1", &linear[8], false),
        (
            "old",
            "type = \"mirror\"\nmirror_count = 2\nregion_size = 1024\nmirrors = [\"old_mimage_0\", 0, \"old_mimage_1\", 0]",
            true,
        ),
        ("fast_cdata", &linear[9], false),
        ("fast_cmeta", &linear[10], false),
        (
            "fast_cpool",
            "type = \"cache-pool\"\ndata = \"fast_cdata\"\nmetadata = \"fast_cmeta\"\nmetadata_format = 2\n\
             chunk_size = 128\ncache_mode = \"writethrough\"\npolicy = \"smq\"",
            false,
        ),
        ("fast_corig", &linear[11], false),
        ("fast", "type = \"cache\"\ncache_pool = \"fast_cpool\"\norigin = \"fast_corig\"", true),
        ("errors", "type = \"error\"", true),
    ];
    fs::write(&backup, with_volumes(&fs::read_to_string(&backup).unwrap(), &volumes)).unwrap();
    bench.devices.lvm("vgcfgrestore", &["--force", "--yes", "-f", path, "vg0"]);

    let devices = [bench.disk(0), bench.disk(1)];
    let found = scan(&devices).unwrap();
    for row in bench.devices.report("lvs", "lv_name,segtype", &[]) {
        let (name, kind) = (row[0].as_str(), row[1].as_str());
        match name {
            "plain" => assert!(volume(&found, name).map.is_ok()),
            "root" => assert!(why(&found, name).contains("snapshot cow")),
            "cow" => assert!(why(&found, name).contains("a snapshot of root")),
            _ => assert!(why(&found, name).contains(&format!("of the type {kind}")), "{}", why(&found, name)),
        }
    }
    let error = found.map("vg0", "thin").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("vg0/thin: it is of the type thin"), "{error}");
    // Parts of others are not volumes.
    let shown = bench.devices.report("lvs", "lv_name", &[]).len();
    assert_eq!(found.groups[0].volumes.len(), shown);
}

#[test]
fn extents_of_two_volumes_and_extents_that_are_not_there_are_refused() {
    if !lvm::need() {
        return;
    }
    let bench = Bench::new(1, "1m");
    for name in ["one", "two", "three"] {
        bench.create(&["-l", "8", "-n", name, "vg0"]);
    }
    let text = {
        let bytes = fs::read(bench.path(0)).unwrap();
        let field = |at: usize| u64::from_le_bytes(bytes[4096 + at..][..8].try_into().unwrap()) as usize;
        String::from_utf8(bytes[4096 + field(40)..][..field(48)].to_vec()).unwrap()
    };
    // The volumes begin at the extents 0, 8 and 16.
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        let scan =
            scan(&[("edited".to_owned(), physical_volume(&bench.path(0), &text.replacen(from, to, 1)))]);
        scan.unwrap()
    };
    let names = |found: &Scan| {
        let open = found.groups[0].volumes.iter().filter(|volume| volume.map.is_ok());
        open.map(|volume| volume.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&with("seqno", "seqno")), ["one", "two", "three"]);
    for (place, left) in [("7", &["three"][..]), ("15", &["one"]), ("12", &["one"])] {
        let found = with("\"pv0\", 8\n", &format!("\"pv0\", {place}\n"));
        assert_eq!(names(&found), left, "{place}");
        assert!(why(&found, "two").contains("extents in common"));
    }
    for place in ["85", "1000", "18446744073709551615", "9223372036854775807"] {
        let found = with("\"pv0\", 16\n", &format!("\"pv0\", {place}\n"));
        assert_eq!(names(&found), ["one", "two"], "{place}");
        assert!(why(&found, "three").contains("past the end of pv0"), "{}", why(&found, "three"));
    }
    // Longer than its device, whatever the metadata say.
    let found = with("pe_count = ", "pe_count = 1");
    assert_eq!(names(&found).len(), 3);
    let found = with("start_extent = 0", "start_extent = 1");
    assert!(why(&found, "one").contains("begins at extent 1"));
    let found = with("\"pv0\", 0\n", "\"two\", 0\n");
    assert!(why(&found, "one").contains("another logical volume"));
}

/// The start of the physical volume at `path` with other metadata, and its checksums right.
fn physical_volume(path: &Path, text: &str) -> Disk {
    let mut bytes = fs::read(path).unwrap();
    let (header, rest) = bytes[4096..].split_at_mut(512);
    rest[..text.len()].copy_from_slice(text.as_bytes());
    header[40..48].copy_from_slice(&512_u64.to_le_bytes());
    header[48..56].copy_from_slice(&(text.len() as u64).to_le_bytes());
    header[56..60].copy_from_slice(&checksum(text.as_bytes()).to_le_bytes());
    let sum = checksum(&header[4..]);
    header[..4].copy_from_slice(&sum.to_le_bytes());
    Disk::new(block::Memory::new(bytes))
}

/// LVM's CRC-32, bit by bit: it starts with 0xf597a6cf.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

#[test]
fn nothing_of_lvm_is_found_where_nothing_is() {
    let devices = [("empty".to_owned(), Disk::new(block::Zeros::new(1 << 20)))];
    assert_eq!(scan(&devices).unwrap(), Scan::default());
    assert_eq!(scan(&[]).unwrap(), Scan::default());
    assert_eq!(Map::default().size(), 0);
}
