//! GRUB in the gap before the first partition, judged by sfdisk.

use block::ErrorKind;
use testimages::{judge, loader};
use volume::embed;
use volume::grub::Grub;

/// An MBR by sfdisk.
fn record(partitions: &str) -> Option<Vec<u8>> {
    judge::need("sfdisk")?;
    let disk = tempfile::NamedTempFile::new().unwrap();
    disk.as_file().set_len(64 << 20).unwrap();
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), format!("label: dos\nlabel-id: 0x1ec2a517\n{partitions}\n")).unwrap();
    let stdin = std::fs::File::open(script.path()).unwrap();
    judge::run(judge::tool("sfdisk").arg("-q").arg(disk.path()).stdin(stdin));
    Some(std::fs::read(disk.path()).unwrap()[..512].to_vec())
}

#[test]
fn the_partitions_stay_and_the_first_becomes_active_unless_one_is() {
    let Some((boot, core)) = loader::grub() else { return };
    let grub = Grub::new(&boot, &core).unwrap();
    for (partitions, active) in [
        ("start=2048, size=2048, type=83\nstart=4096, type=82", 446),
        ("start=2048, size=2048, type=83\nstart=4096, type=83, bootable", 462),
    ] {
        let Some(old) = record(partitions) else { return };
        let head = embed::head(&old, 1 << 20, &grub).unwrap();
        assert_eq!(head.len(), 512 * (1 + core.len().div_ceil(512)));
        assert_eq!(
            (head[0x5C], &head[0x180..0x184]),
            (1, &boot[0x180..0x184]),
            "GRUB's code, which loads sector 1"
        );
        let mut expected = old[440..512].to_vec();
        expected[active - 440] = 0x80;
        assert_eq!(head[440..512], expected);
        assert_eq!(head[1024..512 + core.len()], core[512..]);
    }
}

#[test]
fn a_gap_that_is_too_small_and_what_is_no_boot_record_are_refused() {
    let Some((boot, core)) = loader::grub() else { return };
    let grub = Grub::new(&boot, &core).unwrap();
    let Some(old) = record("start=63, type=83") else { return };
    let sectors = grub.core_sectors() as u64;
    let error = embed::head(&old, 512 * sectors, &grub).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains(&format!("{} are free before", sectors - 1)), "{error}");
    assert!(embed::head(&old, 512 * (sectors + 1), &grub).is_ok());
    for record in [&old[..511], &[0; 512]] {
        assert_eq!(embed::head(record, 1 << 20, &grub).unwrap_err().kind(), ErrorKind::Refused);
    }
}
