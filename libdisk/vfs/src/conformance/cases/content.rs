//! The content of files.

use super::{content, create, mkdir, rename, replace, unlink};
use crate::conformance::Rng;
use crate::conformance::trial::Trial;

/// Lengths around a block, and one that needs many.
fn lengths(trial: &mut Trial<'_>) -> Vec<usize> {
    let block = trial.look(|fs| fs.info().expect("the volume can be described").block_size) as usize;
    vec![0, 1, block - 1, block, block + 1, 13 * block + 7, 5 << 20]
}

pub(super) fn file_sizes(trial: &mut Trial<'_>) {
    let lengths = lengths(trial);
    trial.commit(&|change| {
        mkdir(change, "/", "dir")?;
        for len in &lengths {
            create(change, "/", &format!("file{len}"), *len)?;
            create(change, "/dir", &format!("file{len}"), *len)?;
        }
        Ok(())
    });
}

pub(super) fn replaced_content(trial: &mut Trial<'_>) {
    let lengths = lengths(trial);
    trial.commit(&|change| {
        for len in &lengths {
            create(change, "/", &format!("file{len}"), *len)?;
        }
        Ok(())
    });
    // Every file takes on every length: longer, shorter, the same, empty, and from empty.
    for turn in 1..lengths.len() {
        trial.commit(&|change| {
            for (index, len) in lengths.iter().enumerate() {
                replace(change, &format!("/file{len}"), lengths[(index + turn) % lengths.len()])?;
            }
            Ok(())
        });
    }
    trial.commit(&|change| replace(change, "/file0", 0));
}

pub(super) fn partial_reads(trial: &mut Trial<'_>) {
    let lengths = lengths(trial);
    trial.commit(&|change| {
        lengths.iter().try_for_each(|len| create(change, "/", &format!("file{len}"), *len))
    });
    trial.look(|fs| {
        let mut rng = Rng::new(7);
        for len in &lengths {
            let file = fs.lookup(fs.root(), format!("file{len}").as_bytes()).expect("the file is there");
            let content = content(*len);
            for _ in 0..40 {
                let (offset, wanted) = (rng.below(len + 2), rng.below(9000));
                let mut buf = vec![0xAA; wanted];
                let got = fs.read_at(file, &mut buf, offset as u64).expect("the file can be read");
                let expected = &content[offset.min(*len)..(offset + wanted).min(*len).max(offset.min(*len))];
                assert_eq!(&buf[..got], expected, "{wanted} bytes from byte {offset} of {len}");
                assert!(buf[got..].iter().all(|byte| *byte == 0xAA), "a read writes past what it got");
            }
            let far = fs.read_at(file, &mut [0; 16], u64::MAX - 3).expect("a read past the end gets nothing");
            assert_eq!(far, 0, "a read far past the end gets nothing");
        }
    });
}

pub(super) fn many_changes_of_one_file(trial: &mut Trial<'_>) {
    trial.commit(&|change| {
        create(change, "/", "file", 10)?;
        for turn in 0..20 {
            replace(change, "/file", 3000 * (20 - turn))?;
            rename(change, ("/", "file"), ("/", "moved"))?;
            create(change, "/", "file", 10)?;
            rename(change, ("/", "moved"), ("/", "file"))?;
        }
        unlink(change, "/", "file")?;
        mkdir(change, "/", "file")?;
        unlink(change, "/", "file")?;
        create(change, "/", "file", 77)
    });
}
