//! What Windows says of its own volumes.

use std::collections::BTreeMap;
use std::io::Read;

use block::{Disk, Memory};
use testimages::judge;
use vfs::{FileSystem, FileType, NodeId, State};

/// A recorded file; `None`, after a visible skip, where it is not.
pub(crate) fn recorded(name: &str) -> Option<Vec<u8>> {
    let path = judge::shared()?.join(format!("testdata/ntfs/{name}.xz"));
    let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    lzma_rust2::XzReader::new(&*packed, true).read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

fn open(bytes: Vec<u8>) -> Box<dyn FileSystem> {
    ntfs::open(Disk::new(Memory::new(bytes))).unwrap()
}

/// All files below a directory: size and SHA-256 by path. Each name is looked up as well.
pub(crate) fn files(
    fs: &dyn FileSystem,
    dir: NodeId,
    path: &str,
    found: &mut BTreeMap<String, (u64, String)>,
) {
    for entry in fs.read_dir(dir).unwrap() {
        assert_eq!(fs.lookup(dir, &entry.name).unwrap(), entry.node);
        let name = format!("{path}{}", String::from_utf8(entry.name).unwrap());
        match entry.file_type {
            FileType::Directory => files(fs, entry.node, &format!("{name}/"), found),
            FileType::Regular => {
                let size = fs.metadata(entry.node).unwrap().size;
                let mut content = vec![0; usize::try_from(size).unwrap() + 1];
                let len = fs.read_at(entry.node, &mut content, 0).unwrap();
                assert_eq!(len as u64, size, "{name}");
                content.truncate(len);
                found.insert(name, (size, judge::digest(&content)));
            }
            _ => {}
        }
    }
}

/// Size and SHA-256 of every file of a recovered volume, as Windows says them.
pub(crate) fn manifest(text: &str) -> BTreeMap<String, (u64, String)> {
    let line = |line: &str| match *line.split('\t').collect::<Vec<_>>() {
        [path, size, digest] => (path.to_owned(), (size.parse().unwrap(), digest.to_owned())),
        _ => panic!("{line}"),
    };
    text.lines().map(line).collect()
}

/// What Windows says of `windows-interrupted-1`.
pub(crate) fn first_manifest() -> BTreeMap<String, (u64, String)> {
    let text = recorded("windows-interrupted-1.recovered.manifest").unwrap();
    let files = manifest(std::str::from_utf8(&text).unwrap());
    assert_eq!(files.len(), 206);
    files
}

/// Size and SHA-256 of every file that the manifest has.
pub(crate) fn shown(fs: &dyn FileSystem) -> BTreeMap<String, (u64, String)> {
    let mut found = BTreeMap::new();
    files(fs, fs.root(), "", &mut found);
    found.retain(|path, _| !path.starts_with("System Volume Information/"));
    found
}

#[test]
fn every_file_has_the_digest_that_windows_says() {
    let Some(volume) = recorded("windows-interrupted-1.recovered.img") else { return };
    let fs = open(volume);
    assert_eq!(shown(&*fs), first_manifest());
    let info = fs.info().unwrap();
    assert_eq!(info.state, State::Clean);
    assert_eq!(info.features, ["ntfs-3.1", "lfs-1.1"]);
    // Capitals and small letters are the same.
    let dir = fs.lookup(fs.root(), b"D000").unwrap();
    assert_eq!(fs.lookup(dir, b"F0000064.BIN").unwrap(), fs.lookup(dir, b"f0000064.bin").unwrap());
}

#[test]
fn the_state_of_the_log_is_told() {
    for (name, state, features) in [
        ("windows-interrupted-1.img", State::NeedsRecovery, ["ntfs-3.1", "lfs-2.0"]),
        ("checkdisk-dirty-big-win.img", State::NeedsRecovery, ["ntfs-3.1", "lfs-2.0"]),
        ("jschicht-tiny-lfs11-dirty.filedata-zeroed.dd", State::NeedsRecovery, ["ntfs-3.1", "lfs-1.1"]),
        ("msuhanov-ntfs-lastaccess.p1", State::Clean, ["ntfs-3.1", "lfs-1.1"]),
    ] {
        let Some(volume) = recorded(name) else { return };
        let info = open(volume).info().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((info.state, &*info.features), (state, &features.map(str::to_owned)[..]), "{name}");
    }
}
