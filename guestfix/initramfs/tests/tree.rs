//! The tree we see is the one the kernel unpacks, in the corners where it differs from `cpio`'s.

mod lab;

use initramfs::{Archive, Codec, Error, Generator, Kind, Limits};
use lab::newc::{DIRECTORY, FILE, LINK, archive, record, trailer};

fn parse(bytes: &[u8]) -> Archive<'_> {
    Archive::parse(bytes, &Limits::default()).unwrap()
}

fn data<'a>(archive: &'a Archive<'_>, path: &str) -> Option<&'a [u8]> {
    archive.find(path).map(|file| file.data().unwrap())
}

fn refused(bytes: &[u8]) -> String {
    Archive::parse(bytes, &Limits::default()).unwrap_err().to_string()
}

#[test]
fn links_are_followed_and_dot_prefixes_dropped() {
    let bytes = archive(&[
        (".", DIRECTORY, b""),
        ("./usr", DIRECTORY, b""),
        ("./usr/lib", DIRECTORY, b""),
        ("./lib", LINK, b"usr/lib"),
        ("./lib64", LINK, b"/lib"),
        ("./lib/a", FILE, b"through the link"),
        ("./loop", LINK, b"loop"),
        ("./up", LINK, b"usr/../../lib/a"),
    ]);
    let archive = parse(&bytes);
    for path in ["usr/lib/a", "lib/a", "lib64/a", "/lib64//./a", "up"] {
        assert_eq!(data(&archive, path), Some(&b"through the link"[..]), "{path}");
    }
    assert!(archive.find("loop").is_none() && archive.find("loop/a").is_none());
    assert_eq!(archive.find("lib").map(|file| file.entry.kind), Some(Kind::Directory));
}

#[test]
fn a_file_without_its_directory_vanishes() {
    let bytes = archive(&[
        ("init", FILE, b""),
        ("a/b", FILE, b"lost"),
        ("a", DIRECTORY, b""),
        ("a/c", FILE, b"kept"),
    ]);
    let archive = parse(&bytes);
    assert_eq!((data(&archive, "a/b"), data(&archive, "a/c")), (None, Some(&b"kept"[..])));
}

#[test]
fn later_records_win() {
    let mut bytes =
        archive(&[("a", FILE, b"old"), ("d", DIRECTORY, b""), ("d/x", FILE, b"x"), ("l", LINK, b"d")]);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend(archive(&[
        ("a", FILE, b"new"),
        ("d", FILE, b"a full directory stays"),
        ("l", DIRECTORY, b""),
    ]));
    let archive = parse(&bytes);
    assert_eq!(archive.segments().len(), 2);
    assert_eq!(data(&archive, "a"), Some(&b"new"[..]));
    assert_eq!(data(&archive, "d/x"), Some(&b"x"[..]));
    assert!(archive.find("l/x").is_none(), "the directory took the link's place");
}

#[test]
fn any_one_of_the_hard_links_has_the_data() {
    let mut bytes = record(5, FILE, 3, "a", b"");
    bytes.extend(record(5, FILE, 3, "b", b"the data"));
    bytes.extend(record(5, FILE, 3, "c", b""));
    bytes.extend(trailer());
    let archive = parse(&bytes);
    for path in ["a", "b", "c"] {
        assert_eq!(data(&archive, path), Some(&b"the data"[..]));
    }
}

/// Ubuntu since 23.10: compressed modules and firmware in an archive of their own before the compressed one.
#[test]
fn modules_in_an_earlier_segment() {
    let mut bytes = archive(&[
        ("usr", DIRECTORY, b""),
        ("usr/lib", DIRECTORY, b""),
        ("usr/lib/modules", DIRECTORY, b""),
        ("usr/lib/modules/6.8", DIRECTORY, b""),
        ("usr/lib/modules/6.8/hv-utils.ko.zst", FILE, b"module"),
    ]);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend(archive(&[("init", FILE, b""), ("lib", LINK, b"usr/lib")]));
    let archive = parse(&bytes);
    assert_eq!(archive.kernels(), ["6.8"]);
    assert_eq!(archive.module_dir("6.8"), "usr/lib/modules/6.8");
    assert_eq!(archive.module_dir("6.9"), "usr/lib/modules/6.9");
    assert_eq!(archive.modules("6.8")["hv_utils"], "hv-utils.ko.zst");
    assert!(archive.has_init());
    assert_eq!(archive.generator(), Generator::Unknown);
}

#[test]
fn several_archives_in_one_stream() {
    if !testimages::judge::need_all(&["gzip"]) {
        return;
    }
    let mut plain = archive(&[("init", FILE, b"1")]);
    plain.extend([0; 256]);
    plain.extend(archive(&[("etc", DIRECTORY, b""), ("init", FILE, b"2")]));
    let bytes = lab::image::compress(Codec::Gzip, &plain);
    let archive = parse(&bytes);
    assert_eq!((archive.segments().len(), archive.segments()[0].entries.len()), (1, 3));
    assert_eq!(data(&archive, "init"), Some(&b"2"[..]));
}

#[test]
fn an_archive_may_end_without_a_trailer() {
    let bytes = record(1, FILE, 1, "init", b"x");
    assert!(parse(&bytes).has_init());
}

#[test]
fn what_is_not_an_initramfs_is_named() {
    let mut late = archive(&[("init", FILE, b"")]);
    late.extend(b"MZ and more");
    let text = refused(&late);
    assert!(text.contains("a PE image") && text.contains(&format!("{:#x}", late.len() - 11)), "{text}");
    assert!(refused(&[0x89, b'L', b'Z', b'O', 0, 13]).contains("lzop"));
    assert!(refused(&[4, 0x22, 0x4D, 0x18]).contains("legacy"));
    assert!(refused(b"070707").contains("old portable"));
    assert!(refused(b"wxyz").contains("7778797a"));
    assert!(refused(&[0; 4096]).contains("empty"));
    assert!(refused(&[]).contains("empty"));
}

#[test]
fn broken_records_are_refused_where_they_are() {
    let climbing = archive(&[("init", FILE, b""), ("a/../../etc/passwd", FILE, b"")]);
    assert!(refused(&climbing).contains("`..`"));
    let mut unaligned = archive(&[("init", FILE, b"")]);
    unaligned.extend([0; 2]);
    unaligned.extend(archive(&[]));
    assert!(refused(&unaligned).contains("multiple of 4"));
    let good = archive(&[("init", FILE, b"data")]);
    for len in 1..good.len() {
        // Where one record ends and the next has not begun is the one good place to stop.
        let result = Archive::parse(&good[..len], &Limits::default());
        let end = record(1, FILE, 1, "init", b"data").len();
        assert_eq!(result.is_ok(), len == end || len == good.len(), "{len}");
    }
    for (at, with) in [(6, b'g'), (14, b'+'), (94, b'f')] {
        let mut bad = good.clone();
        bad[at] = with;
        assert!(matches!(Archive::parse(&bad, &Limits::default()), Err(Error::Malformed { .. })), "{at}");
    }
}

#[test]
fn limits_hold() {
    let mut limits = Limits::default();
    limits.entries = 10;
    let files: Vec<u8> = (0..20).flat_map(|n| record(n, FILE, 1, &format!("f{n}"), b"")).collect();
    let error = Archive::parse(&files, &limits).unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "files", limit: 10 }), "{error}");
    let many: Vec<u8> = (0..65).flat_map(|_| archive(&[])).collect();
    let error = Archive::parse(&many, &Limits::default()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "segments", .. }), "{error}");
}
