//! Is it a disk that Azure takes?
//!
//! Reference: "Prepare a Windows VHD or VHDX to upload to Azure" and "Upload a VHD to Azure or copy a managed
//! disk to another region", learn.microsoft.com, 2026-02: fixed, a whole number of MiB, 20 MiB to 32 TiB, and
//! 512 bytes more.

use std::path::Path;

use block::{Disk, FileDisk, Result};
use zerocopy::{FromBytes, IntoBytes};

use super::footer::{DiskType, FOOTER_LEN, Geometry};
use super::read::{Fault, Image, footer_before_end};
use super::{MAX_SIZE, MIN_UPLOAD, SIZE_UNIT, ondisk};
use crate::{Format, raw};

/// Creators whose current size readers believe; for others they compute it from the geometry.
const TRUSTED_CREATORS: [[u8; 4]; 3] = [*b"win ", *b"qem2", *b"wa\0\0"];

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A stable name: "footer", "checksum", "type", "creator", "geometry", "size", "length".
    pub id: &'static str,
    /// Whether it is as Azure wants it.
    pub ok: bool,
    /// What was found, for people.
    pub text: String,
}

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// All findings, in the order of the checks.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether the file can be uploaded as it is.
    pub fn well_formed(&self) -> bool {
        self.findings.iter().all(|finding| finding.ok)
    }

    fn add(&mut self, id: &'static str, ok: bool, text: impl Into<String>) {
        self.findings.push(Finding { id, ok, text: text.into() });
    }
}

/// Checks whether the file `path` is a well-formed upload for Azure. Only its footer is read.
///
/// # Errors
/// `Io` if it cannot be read; all else is a finding.
pub fn check(path: &Path) -> Result<Report> {
    check_bytes(&Disk::new(FileDisk::open(path)?))
}

/// The same of a file that lies elsewhere.
///
/// # Errors
/// What its layers report.
pub fn check_bytes(file: &Disk) -> Result<Report> {
    let mut report = Report { findings: Vec::new() };
    let Some(footer) = last_sector(file)? else {
        report.add("footer", false, without_footer(file)?);
        return Ok(report);
    };
    report.add("footer", true, "the last 512 bytes are a VHD footer");
    let (stored, right) = (footer.checksum.get(), footer.computed_checksum());
    let text = if stored == right {
        "is right".into()
    } else {
        format!("is {stored:#010x}, should be {right:#010x}")
    };
    report.add("checksum", stored == right, format!("the footer's checksum {text}"));
    check_kind(&mut report, &footer);
    check_size(&mut report, &footer, file.size());
    Ok(report)
}

/// What a file without a footer at its end is.
fn without_footer(file: &Disk) -> Result<String> {
    let end = file.size().saturating_sub(FOOTER_LEN);
    let is = match Format::probe(file) {
        Ok(format) if *format == super::FORMAT => {
            match Image::read(file.clone()).map(|it| it.faults().to_vec()) {
                Ok(faults) => match faults.first() {
                    Some(fault @ (Fault::Mark | Fault::Short)) => format!(": {fault}"),
                    _ => "; there is one at the start, as of a dynamic disk whose end is missing".to_owned(),
                },
                Err(error) => format!("; there is one at the start, and no disk by it: {error}"),
            }
        }
        Ok(format) if *format == raw::FORMAT => {
            let len = usize::try_from(file.size().min(FOOTER_LEN)).unwrap_or(0);
            let empty = end > 0 && block::is_zero(&file.read_vec(end, len)?);
            match (empty && end.is_multiple_of(SIZE_UNIT), file.size().is_multiple_of(SIZE_UNIT)) {
                (true, _) => " but zeros: it was never written, and all before it is the disk".to_owned(),
                (false, true) if file.size() > 0 => {
                    ": this is a raw disk, without room for one, or a VHD that was cut off".to_owned()
                }
                _ => match footer_before_end(file)? {
                    Some(place) => {
                        let behind = end.saturating_sub(place);
                        format!(
                            ": there is one at byte {place}, and {behind} bytes behind it, which are to be cut off"
                        )
                    }
                    None => String::new(),
                },
            }
        }
        Ok(format) => format!(": this is an image in the format {format}, under another name"),
        Err(error) => format!(": {error}"),
    };
    Ok(format!("the last 512 bytes are no VHD footer{is}"))
}

fn last_sector(file: &Disk) -> Result<Option<ondisk::Footer>> {
    let mut bytes = [0; 512];
    let Some(end) = file.size().checked_sub(FOOTER_LEN) else { return Ok(None) };
    file.read_at(&mut bytes, end)?;
    Ok(ondisk::Footer::read_from_bytes(bytes.as_bytes()).ok().filter(|raw| raw.cookie == ondisk::COOKIE))
}

fn check_kind(report: &mut Report, raw: &ondisk::Footer) {
    let kind = DiskType::from(raw.disk_type.get());
    report.add("type", kind == DiskType::Fixed, format!("the disk is {kind}; Azure takes fixed ones"));
    let right = raw.data_offset.get() == ondisk::NO_DATA_OFFSET;
    if !right {
        report.add("data-offset", false, format!("the data offset is {:#x}, not all ones", raw.data_offset));
    }
    let creator = raw.creator_application;
    let name = creator.escape_ascii();
    let trusted = TRUSTED_CREATORS.contains(&creator);
    let text = if trusted {
        "so Azure uses the size field and not the CHS geometry"
    } else {
        "readers compute the size from the geometry"
    };
    report.add("creator", trusted, format!("the creator is {name:?}: {text}", name = name.to_string()));
}

fn check_size(report: &mut Report, raw: &ondisk::Footer, file_len: u64) {
    let size = raw.current_size.get();
    let found = Geometry {
        cylinders: raw.cylinders.get(),
        heads: raw.heads,
        sectors_per_track: raw.sectors_per_track,
    };
    let right = Geometry::of_size(size);
    // qemu-img writes the largest geometry into every disk whose size is to be believed.
    let fits = found == right || found == Geometry::LARGEST;
    let text = if fits { "fits the size".into() } else { format!("should be {right}") };
    report.add("geometry", fits, format!("the geometry {found} {text}"));

    let whole = size.is_multiple_of(SIZE_UNIT);
    let fits = (MIN_UPLOAD..=MAX_SIZE).contains(&size);
    let text = match (whole, fits) {
        (false, _) => "not a whole number of MiB",
        (true, false) => "not between 20 MiB and 32 TiB",
        (true, true) => "a whole number of MiB",
    };
    report.add("size", whole && fits, format!("the disk has {size} bytes, {text}"));

    let right = size.checked_add(FOOTER_LEN) == Some(file_len);
    let text = if right { "the disk and its footer" } else { "not the disk's size and 512" };
    report.add("length", right, format!("the file has {file_len} bytes, {text}"));
}
