//! Writes a fixed VHD, as Azure takes it, of any image, snapshot or part of one, and checks what it wrote.
//!
//! ```text
//! cargo run --package libdisk --example write_vhd -- disk.qcow2 disk.vhd
//! ```
#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;

use libdisk::block::{self, CopyOptions, Receipt, Silent};
use libdisk::image::Output;
use libdisk::{Begin, Destination, DiskSpec, FileDestination, FileFormat, OpenOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [source, target] = &words[..] else { return Err("usage: write_vhd ADDRESS OUTPUT.vhd".into()) };
    let source = libdisk::open(&source.parse()?, &OpenOptions::default())?;
    // A file that is there already is refused; Output::replacing takes its place.
    let destination = FileDestination { output: Output::new(target), format: FileFormat::Vhd };

    // Azure takes whole MiB: zeros at the end, and the backup of a GPT behind them.
    let disk = destination.fit(source.disk.clone())?.disk;
    let spec = DiskSpec {
        size: disk.size(),
        sector_size: disk.sector_size(),
        // The same source makes the same VHD, its identifier included.
        identity: source.identity()?,
        // With a key that names what it is made of, an interrupted run is gone on with.
        key: None,
        piece: 1 << 20,
        since: None,
        base: None,
    };
    let Receipt { size, written, .. } = match destination.begin(spec, &Silent)? {
        Begin::Go { sink, .. } => block::copy(&disk, sink, &CopyOptions::default(), &Silent)?,
        Begin::Complete(receipt) => receipt,
    };

    let form = destination.verify()?.form.ok_or("there is no VHD")?;
    if let Some(wrong) = form.findings.iter().find(|finding| !finding.ok) {
        return Err(format!("{target} is no valid upload: {}", wrong.text).into());
    }
    println!("{target}: a disk of {size} bytes, {written} of them written");
    Ok(())
}
