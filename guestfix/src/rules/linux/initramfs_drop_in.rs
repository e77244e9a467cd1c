//! linux.initramfs.drop-in

use super::kernel_hyperv::default_kernel;
use crate::facts::{Driver, Facts};
use crate::rule::Evidence;
use crate::text::{append, lines, shell_assign};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// A generator that will build the next initramfs without the drivers.
pub(in crate::rules) struct InitramfsDropIn;

static META: RuleMeta = RuleMeta {
    id: "linux.initramfs.drop-in",
    title: "the next initramfs will have the drivers of Hyper-V too",
    phase: Phase::Drivers,
    severity: Severity::Warning,
    cause: "The guest builds its initramfs anew with every kernel update. With MODULES=dep or list, or a host-only dracut, it would leave \
            out what it does not see in use.",
    fix: "The modules are named in /etc/initramfs-tools/modules, or in /etc/dracut.conf.d/90-azure-hyperv.conf; only those that the \
          kernel has.",
    source: "Microsoft Learn, Prepare a RHEL-based VM and a SLES VM for Azure, 2026-09; initramfs-tools(7); dracut.conf(5), 2026-11",
};

const MODULES: &str = "/etc/initramfs-tools/modules";
const DRACUT: &str = "/etc/dracut.conf.d/90-azure-hyperv.conf";

/// In the order in which they are written.
const WANTED: &[&str] = &[
    "hv_vmbus",
    "hv_storvsc",
    "hv_netvsc",
    "hv_utils",
    "hyperv_keyboard",
    "hid_hyperv",
    "pci_hyperv",
    "sd_mod",
    "nvme",
];

/// What builds the guest's initramfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Builder {
    InitramfsTools,
    Dracut,
}

impl Rule for InitramfsDropIn {
    fn meta(&self) -> &'static RuleMeta {
        &META
    }

    fn detect(&self, guest: &Guest<'_>) -> Result<Finding> {
        let wanted = wanted(guest.facts);
        if !wanted.contains(&"hv_storvsc") {
            return Ok(Finding::NotApplicable("the kernel has hv_storvsc built in, or not at all"));
        }
        let evidence = match builder(guest.view)? {
            None => return Ok(Finding::NotApplicable("neither initramfs-tools nor dracut is installed")),
            Some(Builder::InitramfsTools) => match policy(guest.view)? {
                // all drivers of all disks go in
                (_, policy) if policy == "most" => return Ok(Finding::Ok),
                (file, policy) => {
                    let lacking = lacking(guest.view, &["hv_vmbus", "hv_storvsc"])?;
                    let what =
                        format!("MODULES={policy}, and {MODULES} does not name {}", lacking.join(", "));
                    (!lacking.is_empty()).then(|| Evidence::new(file, what))
                }
            },
            Some(Builder::Dracut) => {
                let what = "no file adds hv_storvsc to add_drivers";
                (!dracut_adds(guest.view)?).then(|| Evidence::new("/etc/dracut.conf.d", what))
            }
        };
        Ok(Finding::from_evidence(evidence.into_iter().collect()))
    }

    fn fix(&self, stage: &mut Stage<'_>) -> Result<Fixed> {
        let guest = stage.guest()?;
        let wanted = wanted(guest.facts);
        match builder(guest.view)? {
            Some(Builder::InitramfsTools) => {
                let lines = lacking(guest.view, &wanted)?.join("\n");
                let text = guest.view.text(MODULES)?.unwrap_or_default();
                stage.put(MODULES, append(&text, &format!("# for Azure (refloat)\n{lines}")))?;
            }
            _ => {
                let text = format!("# for Azure (refloat)\nadd_drivers+=\" {} \"\n", wanted.join(" "));
                stage.put(DRACUT, text)?;
            }
        }
        Ok(Fixed::Staged)
    }
}

/// The wanted modules that the kernel that boots has as modules.
fn wanted(facts: &Facts) -> Vec<&'static str> {
    let Some(kernel) = default_kernel(facts).or(facts.kernels.first()) else { return Vec::new() };
    WANTED.iter().copied().filter(|name| kernel.drivers.get(name) == Some(&Driver::Module)).collect()
}

fn builder(view: &dyn View) -> Result<Option<Builder>> {
    for (path, builder) in [
        ("/etc/initramfs-tools/initramfs.conf", Builder::InitramfsTools),
        ("/etc/dracut.conf", Builder::Dracut),
        ("/etc/dracut.conf.d", Builder::Dracut),
        ("/usr/lib/dracut/dracut.conf.d", Builder::Dracut),
    ] {
        if view.exists(path)? {
            return Ok(Some(builder));
        }
    }
    Ok(None)
}

/// The file that sets `MODULES` last, and the value.
fn policy(view: &dyn View) -> Result<(String, String)> {
    let main = "/etc/initramfs-tools/initramfs.conf".to_owned();
    let mut last = (main.clone(), "most".to_owned());
    let mut files = vec![main];
    files.extend(view.glob("/etc/initramfs-tools/conf.d", "")?);
    for file in files {
        let text = view.text(&file)?.unwrap_or_default();
        if let Some(value) = shell_assign::get(&text, "MODULES") {
            last = (file, value.to_owned());
        }
    }
    Ok(last)
}

/// Which of these `/etc/initramfs-tools/modules` does not name.
fn lacking(view: &dyn View, wanted: &[&'static str]) -> Result<Vec<&'static str>> {
    let text = view.text(MODULES)?.unwrap_or_default();
    let named: Vec<String> =
        lines(&text).filter_map(|line| Some(line.words().next()?.replace('-', "_"))).collect();
    Ok(wanted.iter().copied().filter(|name| !named.iter().any(|named| named == name)).collect())
}

fn dracut_adds(view: &dyn View) -> Result<bool> {
    let mut files = vec!["/etc/dracut.conf".to_owned()];
    for dir in ["/etc/dracut.conf.d", "/usr/lib/dracut/dracut.conf.d"] {
        files.extend(view.glob(dir, ".conf")?);
    }
    for file in files {
        let text = view.text(&file)?.unwrap_or_default();
        let adds = |line: crate::text::Line<'_>| {
            let line = line.body.trim_start();
            (line.starts_with("add_drivers") || line.starts_with("force_drivers"))
                && line.contains("hv_storvsc")
        };
        if lines(&text).any(adds) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn initramfs_tools_get_lines_unless_they_take_most() {
        let most = Bench::debian().file("/etc/initramfs-tools/initramfs.conf", "MODULES=most\n");
        assert_eq!(most.findings(&InitramfsDropIn), [""; 0]);
        let dep = most
            .file("/etc/initramfs-tools/conf.d/driver-policy", "MODULES=dep\n")
            .file(MODULES, "nvme\nhv_vmbus");
        let found = dep.findings(&InitramfsDropIn);
        assert_eq!(
            found,
            [format!(
                "/etc/initramfs-tools/conf.d/driver-policy: MODULES=dep, and {MODULES} does not name hv_storvsc"
            )]
        );
        let text = dep.mended_text(&InitramfsDropIn, MODULES);
        assert_eq!(text, "nvme\nhv_vmbus\n# for Azure (refloat)\nhv_storvsc\nhv_netvsc\nhv_utils\nsd_mod\n");
    }

    #[test]
    fn dracut_gets_a_drop_in_with_blanks_around_the_names() {
        let bench = Bench::debian().file("/etc/dracut.conf", "#\n");
        let text = bench.mended_text(&InitramfsDropIn, DRACUT);
        assert!(
            text.ends_with("add_drivers+=\" hv_vmbus hv_storvsc hv_netvsc hv_utils sd_mod \"\n"),
            "{text}"
        );
        let done = Bench::debian().file("/etc/dracut.conf.d/x.conf", "force_drivers+=\" hv_storvsc \"\n");
        assert_eq!(done.findings(&InitramfsDropIn), [""; 0]);
    }
}
