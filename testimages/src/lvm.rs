//! Volume groups made, and judged, by lvm2 on loop devices.
//!
//! The kernel needs no device mapper: nothing is activated. Only the devices named are looked at, and nothing
//! of the machine's own configuration changes.

use std::collections::BTreeMap;
use std::io::Seek;
use std::ops::Range;
use std::path::Path;

use crate::judge::{self, need_all, need_kernel_mounts, run, tool};

/// Whether lvm2 can work here: installed, with root and loop devices; a visible skip if not.
pub fn need() -> bool {
    need_all(&["lvm", "losetup"]) && need_kernel_mounts()
}

/// Block devices over ranges of files; they end with this.
#[derive(Debug)]
pub struct Devices(Vec<String>);

impl Devices {
    /// Makes one for each range.
    ///
    /// # Panics
    /// When the kernel refuses it.
    #[track_caller]
    pub fn over(places: &[(&Path, Range<u64>)]) -> Self {
        let mut devices = Self(Vec::new());
        for (path, range) in places {
            let mut losetup = tool("losetup");
            losetup.args(["--find", "--show"]).arg(format!("--offset={}", range.start));
            losetup.arg(format!("--sizelimit={}", range.end - range.start)).arg(path);
            let output = run(&mut losetup);
            devices.0.push(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        devices
    }

    /// The path of the device with this number, from 0.
    pub fn path(&self, number: usize) -> &str {
        &self.0[number]
    }

    /// Runs an lvm command, "vgcreate", say, that sees these devices alone; what it prints.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn lvm(&self, command: &str, arguments: &[&str]) -> String {
        const CONFIG: &str = "devices { hints=\"none\" obtain_device_list_from_udev=0 } backup { backup=0 archive=0 } \
                              activation { udev_sync=0 udev_rules=0 monitoring=0 }";
        let mut lvm = tool("lvm");
        lvm.env("LVM_SUPPRESS_FD_WARNINGS", "1");
        lvm.arg(command).args(["--driverloaded", "n", "--devices", &self.0.join(","), "--config", CONFIG]);
        let output = run(lvm.args(arguments));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a report command ("lvs") says in some columns: a row for each line, sizes in bytes.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn report(&self, command: &str, columns: &str, arguments: &[&str]) -> Vec<Vec<String>> {
        let form = ["--noheadings", "--nosuffix", "--units=b", "--separator=;", "--options", columns];
        let text = self.lvm(command, &[&form, arguments].concat());
        text.lines().map(|line| line.trim().split(';').map(str::to_owned).collect()).collect()
    }

    /// Where lvm2 has the bytes of a linear or striped volume ("vg0/root"): on which device and where, in
    /// their order.
    ///
    /// # Panics
    /// When there is no such volume.
    #[track_caller]
    pub fn runs(&self, volume: &str) -> Vec<(usize, Range<u64>)> {
        let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("{text:?} is no number"));
        let starts: BTreeMap<_, _> = self
            .report("pvs", "pv_name,pe_start,vg_extent_size", &[])
            .into_iter()
            .map(|row| (row[0].clone(), (number(&row[1]), number(&row[2]))))
            .collect();
        let mut runs = Vec::new();
        for row in self.report("lvs", "stripe_size,seg_pe_ranges", &["--segments", volume]) {
            let mut areas = Vec::new();
            for place in row[1].split(' ') {
                // "/dev/loop0:12-15": the first and the last extent
                let (device, extents) = place.split_once(':').expect("a device and its extents");
                let (first, last) = extents.split_once('-').expect("the first and the last extent");
                let (start, size) = starts[device];
                let at = self.0.iter().position(|path| path == device).expect("one of these devices");
                areas.push((at, start + number(first) * size..start + (number(last) + 1) * size));
            }
            let length = areas[0].1.end - areas[0].1.start;
            let stripe = if areas.len() == 1 { length } else { number(&row[0]) };
            for turn in 0..length / stripe {
                for (device, range) in &areas {
                    let start = range.start + turn * stripe;
                    runs.push((*device, start..start + stripe));
                }
            }
        }
        assert!(!runs.is_empty(), "{volume} has no extents");
        runs
    }
}

/// The bytes of a volume of an image as a file of their own; `places` are those of the physical volumes in
/// the image.
///
/// # Panics
/// When lvm2 has no such volume there.
#[track_caller]
pub fn cut(image: &Path, places: &[Range<u64>], volume: &str) -> tempfile::NamedTempFile {
    let places: Vec<_> = places.iter().map(|range| (image, range.clone())).collect();
    cut_from(&places, volume)
}

/// The same, of a volume whose physical volumes are in several images.
///
/// # Panics
/// When lvm2 has no such volume there.
#[track_caller]
pub fn cut_from(places: &[(&Path, Range<u64>)], volume: &str) -> tempfile::NamedTempFile {
    let runs = Devices::over(places).runs(volume);
    let mut cut = tempfile::NamedTempFile::new().expect("a temporary file");
    for (device, range) in runs {
        let (image, Range { start, .. }) = places[device];
        let mut run = judge::cut(image, start + range.start..start + range.end);
        run.as_file_mut().rewind().expect("seek");
        std::io::copy(run.as_file_mut(), cut.as_file_mut()).expect("copy");
    }
    cut
}

impl Drop for Devices {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = tool("losetup").arg("--detach").arg(path).status();
        }
    }
}
