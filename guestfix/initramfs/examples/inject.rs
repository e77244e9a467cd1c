//! Adds the Hyper-V modules to an initramfs: `inject INITRAMFS MODULES_DIRECTORY OUTPUT [append]`, where the
//! directory is a `lib/modules/<kver>`. Shows the whole sequence: parse, look, inject, verify.
#![allow(clippy::print_stdout)]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use initramfs::{Archive, Error, Limits, Mode, ModuleTree, Request};

struct Directory(PathBuf);

impl ModuleTree for Directory {
    fn read(&self, path: &str) -> initramfs::Result<Option<Vec<u8>>> {
        match fs::read(self.0.join(path)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(|error| Error::tree(path, error)),
        }
    }

    fn list(&self) -> initramfs::Result<Vec<String>> {
        let mut paths = Vec::new();
        let mut todo = vec![self.0.clone()];
        while let Some(directory) = todo.pop() {
            for entry in fs::read_dir(&directory).map_err(|error| Error::tree("", error))?.flatten() {
                if entry.path().is_dir() {
                    todo.push(entry.path());
                } else if let Ok(path) = entry.path().strip_prefix(&self.0) {
                    paths.push(path.display().to_string());
                }
            }
        }
        Ok(paths)
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, modules, output, rest @ ..] = arguments.as_slice() else {
        bail!("usage: inject INITRAMFS MODULES_DIRECTORY OUTPUT [append]");
    };
    let kver = Path::new(modules).file_name().and_then(|name| name.to_str()).context("no kernel release")?;
    let tree = Directory(modules.into());
    let bytes = fs::read(input)?;
    let archive = Archive::parse(&bytes, &Limits::default())?;
    for segment in archive.segments() {
        println!(
            "{} at {}: {} bytes, {} files",
            segment.codec,
            segment.offset,
            segment.len,
            segment.entries.len()
        );
    }
    println!("built by {} for {}", archive.generator(), archive.kernels().join(" "));
    let wanted = ["hv_vmbus", "hv_storvsc", "sd_mod", "hv_netvsc", "hv_utils"];
    for (name, state) in initramfs::missing(&archive, kver, &wanted, &tree)?.modules {
        println!("{name}: {state:?}");
    }
    let mode = if rest.is_empty() { Mode::Rewrite } else { Mode::Append };
    let injected = initramfs::inject(&archive, &Request { mode, ..Request::new(kver, &wanted, &tree) })?;
    injected.changes.iter().for_each(|change| println!("{change}"));
    fs::write(output, &injected.bytes)?;
    let loadable: Vec<&str> = injected.loadable.iter().map(String::as_str).collect();
    let verified = initramfs::verify(&injected.bytes, kver, &loadable)?;
    for (name, order) in verified.order {
        println!("{name}: {}", order.join(" "));
    }
    Ok(())
}
