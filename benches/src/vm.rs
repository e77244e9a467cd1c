//! Images to measure with.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::vec;

use anyhow::{Context, Result, bail};
use block::testing::pattern::Pattern;
use block::{Disk, ExtentKind, is_zero};

/// A block of most file systems, in bytes: where a file starts.
const BLOCK: usize = 4096;

/// The layout of a machine with a small system on a large disk: three tenths of it are data, in runs large
/// and small. The content is some zeros, random bytes and what compresses.
pub fn pattern(size: u64) -> Pattern {
    Pattern::new(size, 2026, 0.36)
}

/// How much coarser than a [`pattern`] an image is: so a disk of 4 GiB has some 600 runs of data, as one with
/// a fresh Debian has (655 in the image whose figures are the bars).
const GRAIN: u64 = 4;

/// Writes a sparse raw image of `size` bytes laid out as a [`pattern`] is, its runs `stretch` times as far
/// apart, whose content is that of a real system: the files below `files`, one after the other, each from a
/// new block on.
///
/// # Errors
/// If `path` cannot be written, or there are no files.
pub fn vm_image(path: &Path, size: u64, stretch: u64, files: &Path) -> Result<()> {
    let image = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    image.set_len(size * stretch)?;
    let layout = Disk::new(pattern(size / GRAIN));
    let mut content = Content::of(files)?;
    let mut buf = vec![0; 1 << 20];
    for run in layout.extents(0..layout.size()) {
        let (run, kind) = run?;
        if kind == ExtentKind::Zero {
            continue;
        }
        let start = run.start * GRAIN * stretch / BLOCK as u64 * BLOCK as u64;
        let len = (run.end - run.start) * GRAIN;
        let mut done = 0;
        while done < len {
            let bytes = &mut buf[..((len - done) as usize).min(1 << 20)];
            content.fill(bytes)?;
            if !is_zero(bytes) {
                image.write_all_at(bytes, start + done)?;
            }
            done += bytes.len() as u64;
        }
    }
    Ok(())
}

/// The content of a folder's files, over and over. It holds the lists of a few folders only: what this
/// process holds counts for the commands that it starts and measures.
struct Content {
    root: PathBuf,
    /// What is left of each folder on the way to the current file.
    left: Vec<vec::IntoIter<PathBuf>>,
    file: File,
}

impl Content {
    fn of(root: &Path) -> Result<Self> {
        let mut left = Vec::new();
        let file = match next_file(&mut left, root)? {
            Some(file) => file,
            None => bail!("{} holds no files", root.display()),
        };
        Ok(Self { root: root.to_owned(), left, file })
    }

    /// Fills whole blocks.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        for block in bytes.chunks_mut(BLOCK) {
            let mut len = self.read(block)?;
            while len == 0 {
                if let Some(next) = next_file(&mut self.left, &self.root)? {
                    self.file = next;
                }
                len = self.read(block)?;
            }
            block[len..].fill(0);
        }
        Ok(())
    }

    /// Reads from the file that is open as much as there is.
    fn read(&mut self, block: &mut [u8]) -> Result<usize> {
        let mut len = 0;
        loop {
            match self.file.read(&mut block[len..])? {
                0 => return Ok(len),
                more => len += more,
            }
        }
    }
}

/// Opens the next file that is not empty; after the last one, the first below `root`. `None` where there is
/// none at all.
fn next_file(left: &mut Vec<vec::IntoIter<PathBuf>>, root: &Path) -> Result<Option<File>> {
    let mut begun = false;
    loop {
        let Some(folder) = left.last_mut() else {
            if begun {
                return Ok(None);
            }
            begun = true;
            left.push(list(root)?);
            continue;
        };
        let Some(path) = folder.next() else {
            left.pop();
            continue;
        };
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            left.push(list(&path)?);
        } else if metadata.is_file() && metadata.len() > 0 {
            return File::open(&path).map(Some).with_context(|| format!("cannot open {}", path.display()));
        }
    }
}

/// What is in `folder`, sorted.
fn list(folder: &Path) -> Result<vec::IntoIter<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths.into_iter())
}

#[cfg(test)]
mod tests {
    use block::FileDisk;

    use super::*;

    #[test]
    fn the_runs_are_those_of_the_pattern_and_hold_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("files");
        fs::create_dir(&files).unwrap();
        fs::write(files.join("a"), vec![b'a'; 5000]).unwrap();
        fs::write(files.join("b"), b"b").unwrap();
        fs::write(files.join("empty"), b"").unwrap();
        let size = 64 << 20;
        let data = |disk: &Disk| {
            let runs = disk.extents(0..disk.size()).map(|run| run.unwrap());
            runs.filter(|run| run.1 == ExtentKind::Data).map(|run| run.0).collect::<Vec<_>>()
        };
        let layout = data(&Disk::new(pattern(size / GRAIN)));
        for stretch in [1, 256] {
            let path = folder.path().join("image");
            vm_image(&path, size, stretch, &files).unwrap();
            let disk = FileDisk::open(&path).unwrap().disk();
            assert_eq!(disk.size(), size * stretch);
            let bytes = disk.read_vec(layout[0].start * GRAIN * stretch, 4 * BLOCK).unwrap();
            assert!(bytes[..5000].iter().all(|&byte| byte == b'a'));
            assert_eq!(
                (bytes[5000], bytes[2 * BLOCK], bytes[2 * BLOCK + 1], bytes[3 * BLOCK]),
                (0, b'b', 0, b'a')
            );
            let len = |runs: &[std::ops::Range<u64>]| runs.iter().map(|run| run.end - run.start).sum::<u64>();
            assert_eq!(len(&data(&disk)), len(&layout) * GRAIN);
        }
    }
}
