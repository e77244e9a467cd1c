//! Lists a folder of the file systems in a snapshot, or in any other disk. Only the blocks that are asked for are
//! fetched.
//!
//! ```text
//! cargo run --package libdisk --features cloud --example list_snapshot -- ebs:snap-0abc@eu-west-1 /etc
//! cargo run --package libdisk --features cloud --example list_snapshot -- disk.qcow2#p1 /
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example")]

use std::error::Error;

use libdisk::vfs::{DirEntry, FileSystem, FsError, State};
use libdisk::{OpenOptions, volume};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, path] = &words[..] else { return Err("usage: list_snapshot ADDRESS /PATH".into()) };
    let disk = libdisk::open(&address.parse()?, &OpenOptions::default())?.disk;

    // A disk without partitions may be one file system, as one partition is.
    let mut volumes = vec![("disk".to_owned(), disk.clone())];
    let partitions = volume::read(&disk)?.partitions;
    if !partitions.is_empty() {
        let opened = partitions.iter().map(|one| Ok((format!("p{}", one.number), one.open(&disk)?)));
        volumes = opened.collect::<Result<_, libdisk::block::Error>>()?;
    }

    let mut found = false;
    for (name, volume) in volumes {
        let fs = match libdisk::open_filesystem(&volume) {
            Ok(Some(fs)) => fs,
            Ok(None) => continue,
            // Swap, a member of a volume group, what is encrypted: the error says what it is.
            Err(error) => {
                eprintln!("{name}: {error}");
                continue;
            }
        };
        let info = fs.info()?;
        if info.state == State::NeedsRecovery {
            // guestfix::tree::Tree replays it, in an overlay.
            eprintln!("{name}: {} with a journal that is not replayed: files may be old", info.kind);
        }
        match list(&*fs, path) {
            Ok(entries) => {
                found = true;
                for entry in entries {
                    // What a guest calls its files does not reach the terminal as it is.
                    println!("{name} {:?} {}", entry.file_type, entry.name.escape_ascii());
                }
            }
            Err(FsError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !found {
        return Err(format!("no file system of {address} has {path}").into());
    }
    Ok(())
}

/// What is in a folder of one file system, sorted. Links are not followed: that takes all file systems of a guest.
fn list(fs: &dyn FileSystem, path: &str) -> Result<Vec<DirEntry>, FsError> {
    let mut node = fs.root();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        node = fs.lookup(node, name.as_bytes())?;
    }
    let mut entries = fs.read_dir(node)?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}
