//! Raw files, compared with what qemu-img reads.

use std::fs;

use block::testing::conformance;
use image::raw;
use testimages::judge;

#[test]
fn a_last_sector_that_is_cut_off_ends_in_zeros() {
    if !judge::need_all(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (image, theirs) = (folder.path().join("odd.img"), folder.path().join("theirs.raw"));
    for len in [1, 511, 513, 70_001] {
        fs::write(&image, vec![7; len]).unwrap();
        judge::qemu_img_convert((&image, "raw"), (&theirs, "raw"), "");
        let expected = fs::read(&theirs).unwrap();
        assert_eq!(expected.len(), len.next_multiple_of(512));
        conformance::read(&raw::open(&image).unwrap(), &expected);
    }
}
