//! Several writers at work on one mounted file system.

use std::fs::{self, File, OpenOptions};
use std::io::Result;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, XattrFlags};

/// A xorshift generator: the same seed is the same load, as far as several writers at once let it be.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31).wrapping_add(at >> 9).wrapping_add(seed * 7)) as u8).collect()
}

/// One writer.
pub(crate) struct Writer<'a> {
    root: &'a Path,
    random: Random,
    name: usize,
    dirs: Vec<PathBuf>,
    files: Vec<PathBuf>,
    /// Files and directories that are kept open, with a name or without.
    held: Vec<File>,
    step: usize,
}

const SIZES: [usize; 8] = [0, 10, 100, 1000, 5000, 20_000, 100_000, 400_000];

impl<'a> Writer<'a> {
    pub(crate) fn new(root: &'a Path, seed: u64, name: usize) -> Self {
        let random = Random::new(seed * 16 + name as u64);
        let large = root.join("large");
        fs::create_dir(&large).ok();
        let dirs = vec![root.to_owned(), large];
        Self { root, random, name, dirs, files: Vec::new(), held: Vec::new(), step: 0 }
    }

    /// Works so many steps; what it holds open at the end. A step that fails is no matter: there may be no
    /// room, or the file system may have been stopped.
    pub(crate) fn work(mut self, steps: usize) -> Vec<File> {
        for _ in 0..steps {
            self.step += 1;
            self.one().ok();
            if self.random.below(60) == 0 {
                self.held.truncate(self.held.len() / 2);
            }
        }
        self.held
    }

    /// Long chains of transactions, in which each does a part: they are what a stop finds half done.
    pub(crate) fn chains(mut self, times: usize) -> Vec<File> {
        for _ in 0..times {
            self.step += 1;
            self.chain().ok();
        }
        self.held
    }

    fn chain(&mut self) -> Result<()> {
        let (comb, copy) = (self.new_path(), self.new_path().with_extension("copy"));
        let file = File::create(&comb)?;
        let teeth = 50 + self.random.below(700) as u64;
        if self.random.below(2) == 0 {
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, teeth * 8192)?;
        }
        for tooth in 0..teeth {
            file.write_all_at(&pattern(4096, self.step), tooth * 8192)?;
        }
        file.sync_data()?;
        let other = File::create(&copy)?;
        if self.random.below(3) > 0 && rustix::fs::ioctl_ficlone(&other, &file).is_ok() {
            for tooth in 0..teeth / 3 {
                other.write_all_at(&pattern(4096, 3), tooth * 3 * 8192)?;
            }
            other.sync_data()?;
        }
        match self.random.below(4) {
            0 => file.set_len(0)?,
            1 => rustix::fs::fallocate(
                &file,
                FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                8192,
                teeth * 4096,
            )?,
            _ => fs::remove_file(&comb)?,
        }
        if self.random.below(2) == 0 {
            fs::remove_file(&copy)?;
        }
        Ok(())
    }

    fn new_path(&mut self) -> PathBuf {
        let number = self.random.below(self.dirs.len());
        let filler = "n".repeat(self.random.below(70));
        self.dirs[number].join(format!("{}-{}-{filler}", self.name, self.step))
    }

    fn any_file(&mut self) -> PathBuf {
        let number = self.random.below(self.files.len());
        self.files[number].clone()
    }

    fn size(&mut self) -> usize {
        SIZES[self.random.below(SIZES.len())]
    }

    fn one(&mut self) -> Result<()> {
        let size = self.size();
        let path = self.new_path();
        let kind = self.random.below(28);
        match kind {
            0..=4 => {
                fs::write(&path, pattern(size, self.step))?;
                let owner = self.random.below(5) as u32 * 100;
                std::os::unix::fs::chown(&path, Some(owner), Some(owner / 2))?;
                self.files.push(path);
            }
            5 => {
                fs::create_dir(&path)?;
                if self.dirs.len() < 14 {
                    self.dirs.push(path);
                }
            }
            // Whole chunks of inodes come and go, and directories grow and shrink.
            6 => {
                let count = self.random.below(150);
                for number in 0..count {
                    File::create(path.with_extension(format!("{number}-{}", "x".repeat(number % 50))))?;
                }
                for number in (0..count).filter(|number| number % 20 != 0) {
                    fs::remove_file(path.with_extension(format!("{number}-{}", "x".repeat(number % 50))))?;
                }
            }
            7 => {
                let target = "t".repeat(1 + self.random.below(1000));
                std::os::unix::fs::symlink(target, &path)?;
                if self.random.below(2) == 0 {
                    fs::remove_file(&path)?;
                }
            }
            8 => {
                let nameless = rustix::fs::OFlags::TMPFILE.bits() as i32;
                let dir = path.parent().unwrap();
                let file = OpenOptions::new().write(true).custom_flags(nameless).open(dir)?;
                file.write_all_at(&pattern(size, 7), 0)?;
                self.held.push(file);
            }
            // A directory that is removed while it is open.
            9 => {
                fs::create_dir(&path)?;
                self.held.push(File::open(&path)?);
                fs::remove_dir(&path)?;
            }
            10 => rustix::fs::syncfs(File::open(self.root)?)?,
            _ if self.files.is_empty() => {}
            _ => self.change(kind, size, path)?,
        }
        Ok(())
    }

    /// Something that needs a file.
    fn change(&mut self, kind: usize, size: usize, path: PathBuf) -> Result<()> {
        let old = self.any_file();
        let at = self.random.below(300_000) as u64;
        let open = || OpenOptions::new().read(true).write(true).open(&old);
        match kind {
            11 => {
                fs::rename(&old, &path)?;
                self.files.push(path);
            }
            // Over another one.
            12 => fs::rename(&old, self.any_file())?,
            13 => {
                fs::hard_link(&old, &path)?;
                self.files.push(path);
            }
            14 | 15 => open()?.set_len(self.random.below(size + 1) as u64)?,
            16..=18 => {
                if kind != 16 {
                    let file = open()?;
                    rustix::fs::fsetxattr(&file, "user.held", &pattern(3000, 1), XattrFlags::empty())?;
                    self.held.push(file);
                }
                fs::remove_file(&old)?;
            }
            19 => open()?.write_all_at(&pattern(size, self.step), at)?,
            // Blocks here and there: long lists of extents, and trees of them.
            20 => {
                let file = open()?;
                for piece in 0..self.random.below(120) as u64 {
                    file.write_all_at(&pattern(1000, self.step), piece * 9000)?;
                }
                file.sync_data()?;
            }
            21 | 22 => {
                let value = pattern([10, 200, 900, 5000, 30_000, 65_000][self.random.below(6)], self.step);
                let name = format!("user.{}", self.random.below(6));
                rustix::fs::lsetxattr(&old, &name, &value, XattrFlags::empty())?;
            }
            23 => rustix::fs::lremovexattr(&old, format!("user.{}", self.random.below(6)))?,
            24 => {
                let flags = [
                    FallocateFlags::empty(),
                    FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                    FallocateFlags::ZERO_RANGE,
                    FallocateFlags::KEEP_SIZE,
                    FallocateFlags::COLLAPSE_RANGE,
                    FallocateFlags::INSERT_RANGE,
                ][self.random.below(6)];
                rustix::fs::fallocate(
                    open()?,
                    flags,
                    at & !0xffff,
                    1 + (size as u64).next_multiple_of(65536) - 1,
                )?;
            }
            25 | 26 => {
                let copy = File::create(&path)?;
                rustix::fs::ioctl_ficlone(&copy, open()?)?;
                // Shared blocks are written: here and in the other.
                copy.write_all_at(&pattern(size / 10, 5), at / 2)?;
                if self.random.below(2) == 0 {
                    open()?.write_all_at(&pattern(size / 20, 6), at / 3)?;
                }
                if self.random.below(3) == 0 {
                    copy.sync_all()?;
                }
                self.files.push(path);
            }
            _ => open()?.sync_all()?,
        }
        Ok(())
    }
}
