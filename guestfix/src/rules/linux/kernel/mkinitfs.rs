//! Alpine's mkinitfs: the features of the initramfs that it builds next. Part of linux.initramfs.drop-in.

use crate::rule::Evidence;
use crate::text::{lines, shell_assign};
use crate::{Guest, Result, Stage};

pub(in crate::rules) const CONFIG: &str = "/etc/mkinitfs/mkinitfs.conf";
const FEATURES: &str = "features";
const OURS: &str = "hyperv";
const DIRS: [&str; 2] = ["/etc/mkinitfs/features.d", "/usr/share/mkinitfs/features.d"];
/// What is wrong, if no feature has the driver of the disk.
pub(in crate::rules) fn fault(guest: &Guest<'_>) -> Result<Option<Evidence>> {
    let (view, disk) = (guest.view, guest.goal.target.platform.drivers.disk);
    let path = format!("kernel/drivers/scsi/{disk}.ko");
    let config = view.text(CONFIG)?.unwrap_or_default();
    let features = shell_assign::get(&config, FEATURES).unwrap_or_default();
    for feature in features.split_whitespace() {
        for dir in DIRS {
            let text = view.text(&format!("{dir}/{feature}.modules"))?.unwrap_or_default();
            if lines(&text).any(|line| covers(line.body.trim(), &path)) {
                return Ok(None);
            }
        }
    }
    Ok(Some(Evidence::new(CONFIG, format!("no feature has {disk}: {features}"))))
}

/// Adds a feature that has it.
pub(in crate::rules) fn mend(stage: &mut Stage<'_>) -> Result<()> {
    let patterns = stage.guest()?.goal.target.platform.drivers.mkinitfs;
    stage.put(&format!("{}/{OURS}.modules", DIRS[0]), patterns.join("\n") + "\n")?;
    stage.edit(CONFIG, |text| {
        let old = shell_assign::get(text, FEATURES).unwrap_or_default();
        let is_on = old.split_whitespace().any(|feature| feature == OURS);
        let new = if is_on { old.to_owned() } else { format!("{old} {OURS}").trim_start().to_owned() };
        shell_assign::set(text, FEATURES, &new)
    })?;
    Ok(())
}

/// Whether a directory or pattern has the driver at `path` in it.
fn covers(pattern: &str, path: &str) -> bool {
    let start = pattern.split('*').next().unwrap_or(pattern).trim_end_matches('/');
    !start.is_empty() && path.starts_with(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "kernel/drivers/hv\nkernel/drivers/scsi/hv_storvsc.ko*\nkernel/drivers/scsi/sd_mod.ko*\n\
                        kernel/drivers/net/hyperv\nkernel/drivers/pci/controller/pci-hyperv*\n";
    use crate::rules::linux::kernel::initramfs_drop_in;
    use crate::rules::testing::Bench;

    #[test]
    fn mkinitfs_gets_a_feature_unless_one_has_the_driver() {
        let ena = format!("{}/ena.modules", DIRS[0]);
        let bench = Bench::debian()
            .file(CONFIG, "features=\"base ext4 ena nvme\"\n")
            .file(&ena, "kernel/drivers/net/ethernet/amazon/ena\n");
        assert_eq!(
            bench.findings(&initramfs_drop_in::RULE),
            [format!("{CONFIG}: no feature has hv_storvsc: base ext4 ena nvme")]
        );
        bench.mended(&initramfs_drop_in::RULE, |view| {
            let text = view.text(CONFIG).unwrap().unwrap();
            assert_eq!(text, "features=\"base ext4 ena nvme hyperv\"\n");
            assert_eq!(view.text("/etc/mkinitfs/features.d/hyperv.modules").unwrap().as_deref(), Some(TEXT));
        });
        let scsi = bench
            .file(CONFIG, "features=\"base scsi\"\n")
            .file("/usr/share/mkinitfs/features.d/scsi.modules", "kernel/drivers/scsi/*.ko*\n");
        assert_eq!(scsi.findings(&initramfs_drop_in::RULE), [""; 0]);
    }
}
