//! Where a disk goes.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use block::{
    Bitmap, ContentSum, Disk, Error, ErrorKind, Observer, Receipt, Result, Sink, check_sidecar, is_open_here,
    shown,
};
use image::transfer::{self, ResumeKey, Since, Spec};
use image::{Durability, Existing, Left, Output, check_partial, in_use, partial_path, qcow2, raw, vhd, vhdx};
use volume::Fitted;

const LAYER: &str = "output";

/// A place that takes a disk. It knows by itself how to go on with what an earlier run left.
pub trait Destination: Send + Sync {
    /// What it is called, for people; no secret is in it.
    fn name(&self) -> String;

    /// What it becomes.
    fn format(&self) -> FileFormat;

    /// The file, if it is one of this machine.
    fn path(&self) -> Option<&Path>;

    /// The disk as it will be there: with zeros at its end where it has to be larger, and the backup of its
    /// GPT behind them.
    ///
    /// # Errors
    /// `Unsupported` if it does not fit; what the disk reports.
    fn fit(&self, disk: Disk) -> Result<Fitted>;

    /// Whether it may become a newer snapshot later by what has changed alone: see
    /// [`can_follow`](Self::can_follow).
    fn follows(&self) -> bool;

    /// Whether writing it writes over what is called `origin`, as a source [is told](crate::Origin).
    fn writes_over(&self, origin: &str) -> bool {
        self.name() == origin
    }

    /// Whether an earlier run has begun to write it, and may be gone on with.
    fn has_begun(&self) -> bool;

    /// Whether it may be written: to be asked before the work.
    ///
    /// # Errors
    /// `Refused` if something is there that must not be replaced, is in use, or is what this process reads.
    fn free(&self) -> Result<()>;

    /// Whether it can become `newer` by what has changed since `older`, two snapshots as [`Base`] names them:
    /// to be asked before the work.
    ///
    /// # Errors
    /// `Refused` if it is not known to hold one of them; `Unsupported` if it can never be told.
    fn can_follow(&self, older: &Older, newer: &Base) -> Result<()>;

    /// Begins to write a disk, or goes on with it, if it has a key.
    ///
    /// # Errors
    /// `Refused` as [`free`](Self::free), or if another process writes it; `Unsupported` if it does not fit;
    /// `Io`.
    fn begin(&self, disk: DiskSpec, observer: &dyn Observer) -> Result<Begin>;

    /// Removes what an unfinished run has left and nobody will go on with.
    ///
    /// # Errors
    /// `Io`.
    fn discard(&self) -> Result<()>;

    /// Where another disk of the same machine goes: `number` counts from 1.
    fn companion(&self, number: u32) -> Box<dyn Destination>;

    /// What is there: whether it is well formed, and the content it was written with.
    ///
    /// # Errors
    /// `Io`.
    fn verify(&self) -> Result<Upload>;
}

/// Why something may not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Taken {
    /// It would destroy what is read.
    #[error("it is the same file as the input")]
    Input,
    /// It is there, and must not be replaced.
    #[error("it already exists")]
    Exists,
    /// Others use it.
    #[error("it is in use: {0}")]
    InUse(String),
}

/// Why a target cannot become a newer snapshot by what has changed alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotFollow {
    /// Nobody knows what it holds.
    #[error("it is not known to hold {0}: there is no record on this machine of what was sent there")]
    NoRecord(String),
    /// It is a part of a disk.
    #[error("it does not hold {0}: what was sent there last was not finished")]
    Unfinished(String),
    /// It is another disk, or one whose pages were not recorded.
    #[error("it does not hold {0}: by the record on this machine something else was sent there last")]
    Other(String),
    /// Somebody else has written it.
    #[error("it does not hold {0} any more: it was written or replaced since that was sent there")]
    Changed(String),
    /// The volume has grown.
    #[error("it holds {0}, when the volume had another size")]
    Size(String),
    /// The record does not speak of it.
    #[error("it is not known which of its pages hold what: the record on this machine is damaged")]
    Damaged,
    /// It is a managed disk.
    #[error("a managed disk takes no more pages once it is finished")]
    Managed,
    /// What is where in it is known only when it is whole.
    #[error("a file of this format is always written whole")]
    Whole,
}

/// A disk that is to be written.
#[derive(Debug)]
pub struct DiskSpec {
    /// Its size in bytes, once it [fits](Destination::fit).
    pub size: u64,
    /// Bytes of its logical sectors, for formats that tell.
    pub sector_size: u32,
    /// What tells it from others: equal disks with equal identities become equal files.
    pub identity: [u8; 32],
    /// What it is made of; without one nothing can be gone on with.
    pub key: Option<ResumeKey>,
    /// How much is recorded at once, in bytes.
    pub piece: u32,
    /// An older snapshot that the destination holds.
    pub since: Option<Older>,
    /// The snapshot that it was made of, if it may become a newer one later.
    pub base: Option<Base>,
}

/// What a disk is but for some edits.
#[derive(Debug, Clone)]
pub struct Base {
    /// What it is.
    pub key: ResumeKey,
    /// Where the disk may be other than that, in bytes.
    pub edits: Vec<Range<u64>>,
}

/// An older snapshot.
#[derive(Debug, Clone)]
pub struct Older {
    /// What it is, as a [`Base`] has it.
    pub key: ResumeKey,
    /// Its name, for messages.
    pub name: String,
    /// The numbers of the pieces that have changed since.
    pub changes: Bitmap,
}

/// How a disk begins to be written.
pub enum Begin {
    /// It is there already.
    Complete(Receipt),
    /// It has to be copied there.
    Go {
        /// Where to copy it to.
        sink: Box<dyn Sink>,
        /// Whether the same again goes on from where this one was stopped.
        resumes: bool,
    },
}

/// What is at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Whether it is as Azure takes it, for a VHD.
    pub form: Option<vhd::Report>,
    /// The sum of the content that it was written with, if that was recorded.
    pub content: Option<ContentSum>,
}

/// A format that a file can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// Fixed VHD, as Azure takes it.
    Vhd,
    /// The bytes of the disk.
    Raw,
    /// qcow2, version 3.
    Qcow2,
    /// The same, compressed by zstd.
    CompressedQcow2,
    /// VHDX, dynamic, as Hyper-V takes it.
    Vhdx,
    /// VHD, dynamic: what older programs take, and Azure does not.
    DynamicVhd,
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vhd => "vhd",
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::CompressedQcow2 => "compressed-qcow2",
            Self::Vhdx => "vhdx",
            Self::DynamicVhd => "dynamic-vhd",
        })
    }
}

/// Why a file's format is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Its extension says nothing.
    #[error(
        "{0}: cannot tell the format from the extension, which is none of .vhd, .vhdx, .raw, .img and .qcow2"
    )]
    Unknown(String),
    /// Its extension says something else than was asked for.
    #[error("{path}: the extension says {named}, and {asked} was asked for")]
    Contradiction {
        /// The file.
        path: String,
        /// What its extension says.
        named: FileFormat,
        /// What was asked for.
        asked: FileFormat,
    },
}

impl FileFormat {
    /// The extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Vhd | Self::DynamicVhd => "vhd",
            Self::Raw => "raw",
            Self::Qcow2 | Self::CompressedQcow2 => "qcow2",
            Self::Vhdx => "vhdx",
        }
    }

    /// The format that an extension names.
    fn named(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "vhd" => Some(Self::Vhd),
            "raw" | "img" => Some(Self::Raw),
            "qcow2" => Some(Self::Qcow2),
            "vhdx" => Some(Self::Vhdx),
            _ => None,
        }
    }

    /// The format that the extension of `path` names, which must be the one that was asked for, if any was.
    ///
    /// # Errors
    /// If it names none and none was asked for, or another one.
    pub fn of(path: &Path, asked: Option<Self>) -> Result<Self, FormatError> {
        let named = path.extension().and_then(|extension| Self::named(&extension.to_string_lossy()));
        let shown = || shown(path).to_string();
        match (named, asked) {
            // Two are called .vhd, and two .qcow2.
            (Some(Self::Vhd), Some(asked @ Self::DynamicVhd))
            | (Some(Self::Qcow2), Some(asked @ Self::CompressedQcow2)) => Ok(asked),
            (Some(named), Some(asked)) if named != asked => {
                Err(FormatError::Contradiction { path: shown(), named, asked })
            }
            (named, asked) => asked.or(named).ok_or_else(|| FormatError::Unknown(shown())),
        }
    }
}

/// A file of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDestination {
    /// Which one, and how it is to be written.
    pub output: Output,
    /// Its format.
    pub format: FileFormat,
}

impl FileDestination {
    fn sink(&self, size: u64, sector_size: u32, identity: &[u8; 32], left: Left) -> Result<Box<dyn Sink>> {
        Ok(match self.format {
            FileFormat::Vhd => {
                let identity = vhd::Identity::derive(identity);
                Box::new(vhd::FixedSink::resume(&self.output, size, identity, left)?)
            }
            FileFormat::Raw => Box::new(raw::RawSink::resume(&self.output, size, left)?),
            FileFormat::Qcow2 => qcow2::create(&self.output, size)?,
            FileFormat::CompressedQcow2 => qcow2::create_compressed(&self.output, size)?,
            FileFormat::Vhdx => vhdx::create(&self.output, size, sector_size, identity)?,
            FileFormat::DynamicVhd => {
                vhd::create_dynamic(&self.output, size, vhd::Identity::derive(identity))?
            }
        })
    }

    /// Whether an interrupted run can be gone on with. What is where in a file of another format is known only
    /// when it is whole.
    fn resumes(&self, size: u64) -> bool {
        matches!(self.format, FileFormat::Vhd | FileFormat::Raw) && size <= transfer::MAX_SIZE
    }

    fn spec(&self, disk: DiskSpec, key: ResumeKey, size: u64) -> Spec {
        let older = |Older { key, name, changes }| Since { key: self.key_of(key), name, changes };
        let base = |Base { key, edits }| transfer::Base { key: self.key_of(key), edits };
        Spec {
            target: self.output.path.clone(),
            key: self.key_of(key),
            size,
            piece: disk.piece,
            since: disk.since.map(older),
            replace: self.output.existing == Existing::Replace,
            mode: self.output.mode,
            base: disk.base.map(base),
            durable: self.output.durability == Durability::Synced,
        }
    }

    /// Refuses a disk whose table of partitions would not be found any more: a VHD has sectors of 512 bytes.
    fn check_sectors(&self, disk: &Disk) -> Result<()> {
        if disk.sector_size() == 512 {
            return Ok(());
        }
        let table = volume::read(disk)?;
        if table.sector_size == 512 || table.partitions.is_empty() {
            return Ok(());
        }
        let what = format!(
            "the disk has sectors of {} bytes, and so has its table of partitions: in a VHD, whose sectors have 512, \
             nobody finds them",
            disk.sector_size()
        );
        Err(Error::unsupported(LAYER, what).in_file(&self.output.path))
    }

    /// What a log calls something that is put there.
    fn key_of(&self, key: ResumeKey) -> transfer::Key {
        key.with("format", self.format).digest()
    }

    /// The file for another disk of the machine.
    pub fn companion_path(&self, number: u32) -> PathBuf {
        let mut name = self.output.path.file_stem().unwrap_or_default().to_owned();
        name.push(format!("-data{number}"));
        if let Some(extension) = self.output.path.extension() {
            name.push(".");
            name.push(extension);
        }
        self.output.path.with_file_name(name)
    }
}

impl Destination for FileDestination {
    fn name(&self) -> String {
        shown(&self.output.path).to_string()
    }

    fn format(&self) -> FileFormat {
        self.format
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.output.path)
    }

    fn has_begun(&self) -> bool {
        transfer::log_path(&self.output.path).exists()
    }

    fn follows(&self) -> bool {
        self.resumes(0)
    }

    // That a file is read by this process is seen by its inode.
    fn writes_over(&self, _origin: &str) -> bool {
        false
    }

    fn fit(&self, disk: Disk) -> Result<Fitted> {
        if matches!(self.format, FileFormat::Vhd | FileFormat::DynamicVhd) {
            self.check_sectors(&disk)?;
        }
        match self.format {
            FileFormat::Vhd => volume::fitted(disk, |size| {
                vhd::upload_size(size).map_err(|error| error.in_file(&self.output.path))
            }),
            _ => Ok(disk.into()),
        }
    }

    fn can_follow(&self, older: &Older, newer: &Base) -> Result<()> {
        let refused = |why: CannotFollow| {
            let error = Error::new(ErrorKind::Refused, LAYER, "cannot take only what has changed");
            Err(error.because(why).in_file(&self.output.path))
        };
        if !self.resumes(0) {
            return refused(CannotFollow::Whole);
        }
        let (path, name) = (self.output.path.as_path(), || older.name.clone());
        let keys = [&older.key, &newer.key].map(|key| self.key_of(key.clone()));
        match transfer::log_path(path).exists() {
            true if transfer::is_based_on(path, &keys)? => Ok(()),
            true => refused(CannotFollow::Other(name())),
            false => refused(CannotFollow::NoRecord(name())),
        }
    }

    fn free(&self) -> Result<()> {
        let path = self.output.path.as_path();
        let refused = |why: Taken, path: &Path| {
            Err(Error::new(ErrorKind::Refused, LAYER, "cannot write the output").because(why).in_file(path))
        };
        if let Some(same) = [path, &partial_path(path)].into_iter().find(|written| is_open_here(written)) {
            return refused(Taken::Input, same);
        }
        check_partial(path)?;
        check_sidecar(&transfer::log_path(path))?;
        // A link that leads nowhere is in the way, too.
        if path.symlink_metadata().is_err() {
            return Ok(());
        }
        if self.output.existing == Existing::Refuse {
            return refused(Taken::Exists, path);
        }
        match in_use::users(path)?.first() {
            None => Ok(()),
            Some(user) => refused(Taken::InUse(user.who.clone()), path),
        }
    }

    fn begin(&self, disk: DiskSpec, observer: &dyn Observer) -> Result<Begin> {
        let DiskSpec { size, sector_size, identity, .. } = disk;
        let Some(key) = disk.key.clone().filter(|_| self.resumes(size)) else {
            self.free()?;
            let sink = self.sink(size, sector_size, &identity, Left::Remove)?;
            return Ok(Begin::Go { sink, resumes: false });
        };
        let recorded = transfer::log_path(&self.output.path).exists();
        if !recorded {
            self.free()?;
        }
        match transfer::begin(self.spec(disk, key, size), observer)? {
            transfer::Begin::Complete(content) => {
                Ok(Begin::Complete(Receipt { size, content, ..Receipt::default() }))
            }
            transfer::Begin::Go(transfer) => {
                let left = transfer.left();
                let sink = self.free().and_then(|()| self.sink(size, sector_size, &identity, left));
                match sink.and_then(|sink| transfer.sink(sink)) {
                    Ok(sink) => Ok(Begin::Go { sink, resumes: true }),
                    Err(error) => {
                        // What has not begun leaves nothing. What was refused is somebody else's.
                        if left == Left::Keep && error.kind() != ErrorKind::Refused {
                            self.discard()?;
                        } else if !recorded {
                            transfer::forget(&self.output.path)?;
                        }
                        Err(error)
                    }
                }
            }
        }
    }

    fn discard(&self) -> Result<()> {
        transfer::discard(&self.output.path)
    }

    fn companion(&self, number: u32) -> Box<dyn Destination> {
        let output = Output { path: self.companion_path(number), ..self.output.clone() };
        Box::new(Self { output, format: self.format })
    }

    fn verify(&self) -> Result<Upload> {
        let form = match self.format {
            FileFormat::Vhd => Some(vhd::check(&self.output.path)?),
            _ => None,
        };
        Ok(Upload { form, content: transfer::content(&self.output.path)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides() {
        use FileFormat::{CompressedQcow2, DynamicVhd, Qcow2, Raw, Vhd, Vhdx};
        for (name, asked, found) in [
            ("a.vhd", None, Some(Vhd)),
            ("a.VHD", None, Some(Vhd)),
            ("a.raw", None, Some(Raw)),
            ("a.b.img", None, Some(Raw)),
            ("a.qcow2", Some(Qcow2), Some(Qcow2)),
            ("a.bin", Some(Raw), Some(Raw)),
            ("a", Some(Vhd), Some(Vhd)),
            ("a.vhdx", None, Some(Vhdx)),
            ("a.vhd", Some(DynamicVhd), Some(DynamicVhd)),
            ("a.vhdx", Some(DynamicVhd), None),
            ("a.qcow2", Some(CompressedQcow2), Some(CompressedQcow2)),
            ("a.vhd", Some(CompressedQcow2), None),
            ("vhd", None, None),
            ("a.bin", None, None),
            ("a.vhd", Some(Raw), None),
            ("a.img", Some(Qcow2), None),
        ] {
            assert_eq!(FileFormat::of(Path::new(name), asked).ok(), found, "{name}, {asked:?}");
        }
    }

    #[test]
    fn companions_lie_beside() {
        let of = |name: &str| {
            let output = Output::new(name);
            FileDestination { output, format: FileFormat::Vhd }.companion(2).name()
        };
        assert_eq!(of("x/disk.vhd"), "x/disk-data2.vhd");
        assert_eq!(of("disk"), "disk-data2");
    }
}
