//! linux.initramfs.drop-in

use initramfs::Generator;

use super::mkinitfs;
use crate::facts::Driver;
use crate::platform::Drivers;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::rules::linux::linewise;
use crate::text::{Line, append, lines, rewrite, shell_assign};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// A generator that will build the next initramfs without the drivers.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.initramfs.drop-in",
        title: "the next initramfs will have the drivers of Hyper-V too",
        pack: Pack::Linux,
        phase: Phase::Drivers,
        severity: Severity::Warning,
        cause: "The guest builds its initramfs anew with every kernel update. With MODULES=dep or list, or \
                a host-only dracut, it would leave out what it does not see in use, and it does leave out \
                what omit_drivers names.",
        fix: "The modules are named in /etc/initramfs-tools/modules, in \
              /etc/dracut.conf.d/90-azure-hyperv.conf, in a feature of mkinitfs, or in INITRD_MODULES; only \
              those that the kernel has. omit_drivers no longer names them.",
        source: &[
            Source::new("Microsoft Learn", "Prepare a RHEL-based VM and a SLES VM for Azure", "2026-09"),
            Source::new("initramfs-tools(7)", "", "2026-11"),
            Source::new("dracut.conf(5)", "", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const MODULES: &str = "/etc/initramfs-tools/modules";
const DRACUT: &str = "/etc/dracut.conf.d/90-azure-hyperv.conf";
const MAIN: &str = "/etc/dracut.conf";
const OWN: &str = "/etc/dracut.conf.d";
const PACKAGED: &str = "/usr/lib/dracut/dracut.conf.d";
const SYSCONFIG: &str = "/etc/sysconfig/kernel";
const INITRD_MODULES: &str = "INITRD_MODULES";

/// What builds the guest's initramfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Builder {
    InitramfsTools,
    Dracut,
    /// SUSE's of version 11.
    Mkinitrd,
    /// Alpine's.
    Mkinitfs,
}

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let (wanted, drivers) = (wanted(guest), &guest.goal.target.platform.drivers);
    let disk = drivers.disk;
    if !wanted.contains(&disk) {
        return Ok(Finding::NotApplicable("the kernel has the driver of the disk built in, or not at all"));
    }
    let mut evidence = linewise::faults(guest.view, &dracut_files(guest.view)?, |line| {
        without_hyperv(line, drivers).map(|_| format!("leaves out drivers of Hyper-V: {}", line.body.trim()))
    })?;
    evidence.extend(match builder(guest)? {
        None => return Ok(Finding::NotApplicable("it is not known what builds the next one")),
        Some(Builder::InitramfsTools) => match policy(guest.view)? {
            // all drivers of all disks go in
            (_, policy) if policy == "most" => return Ok(Finding::Ok),
            (file, policy) => {
                let lacking = lacking(guest.view, &drivers.vital())?;
                let what = format!("MODULES={policy}, and {MODULES} does not name {}", lacking.join(", "));
                (!lacking.is_empty()).then(|| Evidence::new(file, what))
            }
        },
        Some(Builder::Dracut) => {
            let what = format!("no file adds {disk} to add_drivers");
            (!dracut_adds(guest.view, disk)?).then(|| Evidence::new("/etc/dracut.conf.d", what))
        }
        Some(Builder::Mkinitfs) => mkinitfs::fault(guest)?,
        Some(Builder::Mkinitrd) => {
            let text = guest.view.text(SYSCONFIG)?.unwrap_or_default();
            let named = shell_assign::get(&text, INITRD_MODULES).unwrap_or_default().to_owned();
            let what = format!("INITRD_MODULES does not name {disk}");
            let names = |name: &str| named.split_whitespace().any(|module| module == name);
            (!names(disk)).then(|| Evidence::new(SYSCONFIG, what))
        }
    });
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let (wanted, drivers) = (wanted(&guest), &guest.goal.target.platform.drivers);
    match builder(&guest)? {
        Some(Builder::Mkinitfs) => mkinitfs::mend(stage)?,
        Some(Builder::Mkinitrd) => {
            stage.edit(SYSCONFIG, |text| {
                let named = shell_assign::get(text, INITRD_MODULES).unwrap_or_default();
                let mut modules: Vec<&str> = named.split_whitespace().collect();
                let missing: Vec<&str> =
                    wanted.iter().copied().filter(|name| !modules.contains(name)).collect();
                modules.extend(missing);
                shell_assign::set(text, INITRD_MODULES, &modules.join(" "))
            })?;
        }
        Some(Builder::InitramfsTools) => {
            let lines = lacking(guest.view, &wanted)?.join("\n");
            let text = guest.view.text(MODULES)?.unwrap_or_default();
            stage.put(MODULES, append(&text, &format!("# for Azure (refloat)\n{lines}")))?;
        }
        _ => {
            for file in dracut_files(guest.view)? {
                let old = stage.guest()?.view.text(&file)?.unwrap_or_default();
                let new = rewrite(&old, |line| without_hyperv(line, drivers));
                if new != old {
                    // one of this name in /etc hides the packaged one
                    let name = file.rsplit('/').next().unwrap_or(&file);
                    let own = if file == MAIN { MAIN.to_owned() } else { format!("{OWN}/{name}") };
                    stage.put(&own, new)?;
                }
            }
            if !dracut_adds(stage.guest()?.view, drivers.disk)? {
                let text = format!("# for Azure (refloat)\nadd_drivers+=\" {} \"\n", wanted.join(" "));
                stage.put(DRACUT, text)?;
            }
        }
    }
    Ok(Fixed::Staged)
}

/// The wanted modules that the kernel that boots has as modules.
fn wanted(guest: &Guest<'_>) -> Vec<&'static str> {
    let facts = guest.facts;
    let Some(kernel) = facts.default_kernel().or(facts.kernels.first()) else { return Vec::new() };
    let early = guest.goal.target.platform.drivers.early.iter().copied();
    early.filter(|name| kernel.drivers.get(name) == Some(&Driver::Module)).collect()
}

fn builder(guest: &Guest<'_>) -> Result<Option<Builder>> {
    let mut left = Vec::new();
    for (path, builder) in [
        ("/etc/initramfs-tools/initramfs.conf", Builder::InitramfsTools),
        (MAIN, Builder::Dracut),
        (OWN, Builder::Dracut),
        (PACKAGED, Builder::Dracut),
        (mkinitfs::CONFIG, Builder::Mkinitfs),
        (SYSCONFIG, Builder::Mkinitrd),
    ] {
        if guest.view.exists(path)? {
            left.push(builder);
        }
    }
    // Debian keeps the configuration of a package that another one replaced
    if left.contains(&Builder::Dracut) && built_by_dracut(guest)? {
        return Ok(Some(Builder::Dracut));
    }
    Ok(left.first().copied())
}

/// Whether the image of the entry that starts by itself is dracut's.
fn built_by_dracut(guest: &Guest<'_>) -> Result<bool> {
    let entry = guest.facts.boot.entries.iter().find(|entry| entry.default);
    let Some(path) = entry.and_then(|entry| entry.initrds.last()) else { return Ok(false) };
    let Some(bytes) = guest.view.read(path)? else { return Ok(false) };
    // one that cannot be read is the business of linux.initramfs.hyperv
    let parsed = guest.archives.get(path, &bytes);
    Ok(parsed.is_ok_and(|parsed| parsed.archive().generator() == Generator::Dracut))
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

/// The files that dracut reads: one in /etc hides a packaged one of its name.
fn dracut_files(view: &dyn View) -> Result<Vec<String>> {
    let own = view.glob(OWN, ".conf")?;
    let name = |file: &String| file.rsplit('/').next().map(str::to_owned);
    let hidden: Vec<_> = own.iter().map(name).collect();
    let mut files = if view.exists(MAIN)? { vec![MAIN.to_owned()] } else { Vec::new() };
    files.extend(view.glob(PACKAGED, ".conf")?.into_iter().filter(|file| !hidden.contains(&name(file))));
    files.extend(own);
    Ok(files)
}

fn dracut_adds(view: &dyn View, disk: &str) -> Result<bool> {
    for file in dracut_files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        let adds = |line: Line<'_>| {
            let line = line.body.trim_start();
            (line.starts_with("add_drivers") || line.starts_with("force_drivers")) && line.contains(disk)
        };
        if lines(&text).any(adds) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A line that leaves drivers out without those of Hyper-V; `None` if it names none.
fn without_hyperv(line: &Line<'_>, drivers: &Drivers) -> Option<String> {
    let is_end = |c: char| c.is_whitespace() || c == '"' || c == '\'';
    let kept = |word: &str| {
        let name = word.trim_end_matches(is_end);
        let is_wanted = drivers.early.contains(&name.replace('-', "_").as_str());
        if is_wanted { word[name.len()..].trim_start().to_owned() } else { word.to_owned() }
    };
    let new: String = line.body.split_inclusive(is_end).map(kept).collect();
    (line.body.trim_start().starts_with("omit_drivers") && new != line.body).then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Bench, initramfs_with};

    #[test]
    fn initramfs_tools_get_lines_unless_they_take_most() {
        let most = Bench::debian().file("/etc/initramfs-tools/initramfs.conf", "MODULES=most\n");
        assert_eq!(most.findings(&RULE), [""; 0]);
        let dep = most
            .file("/etc/initramfs-tools/conf.d/driver-policy", "MODULES=dep\n")
            .file(MODULES, "nvme\nhv_vmbus");
        let found = dep.findings(&RULE);
        assert_eq!(
            found,
            [format!(
                "/etc/initramfs-tools/conf.d/driver-policy: MODULES=dep, and {MODULES} does not name hv_storvsc"
            )]
        );
        let text = dep.mended_text(&RULE, MODULES);
        assert_eq!(
            text,
            "nvme\nhv_vmbus\n# for Azure (refloat)\nhv_storvsc\nhv_netvsc\nhv_utils\npci_hyperv\nsd_mod\n"
        );
    }

    #[test]
    fn dracut_gets_a_drop_in_with_blanks_around_the_names() {
        let bench = Bench::debian().file("/etc/dracut.conf", "#\n");
        let text = bench.mended_text(&RULE, DRACUT);
        assert!(
            text.ends_with("add_drivers+=\" hv_vmbus hv_storvsc hv_netvsc hv_utils pci_hyperv sd_mod \"\n"),
            "{text}"
        );
        let done = Bench::debian().file("/etc/dracut.conf.d/x.conf", "force_drivers+=\" hv_storvsc \"\n");
        assert_eq!(done.findings(&RULE), [""; 0]);
    }

    #[test]
    fn a_builder_that_was_replaced_leaves_its_configuration_and_builds_no_more() {
        let both = || {
            Bench::debian()
                .file("/etc/initramfs-tools/initramfs.conf", "MODULES=most\n")
                .file("/etc/dracut.conf", "#\n")
        };
        assert_eq!(both().findings(&RULE), [""; 0]);
        let image = initramfs_with(&[("usr/lib/dracut/modules.txt", "base\n"), ("init", "")]);
        let replaced = both().file("/boot/initrd.img-6.1.0-50-amd64", image);
        assert_eq!(replaced.findings(&RULE), ["/etc/dracut.conf.d: no file adds hv_storvsc to add_drivers"]);
    }

    #[test]
    fn drivers_that_dracut_leaves_out_are_left_out_no_more() {
        let packaged = "/usr/lib/dracut/dracut.conf.d/01-ec2.conf";
        let bench = Bench::debian()
            .file(packaged, "hostonly=yes\nomit_drivers+=\" floppy hv_vmbus hv-storvsc \"\n")
            .file("/etc/dracut.conf.d/x.conf", "add_drivers+=\" hv_storvsc \"\n");
        let what = "leaves out drivers of Hyper-V: omit_drivers+=\" floppy hv_vmbus hv-storvsc \"";
        assert_eq!(bench.findings(&RULE), [format!("{packaged}:2: {what}")]);
        let text = bench.mended_text(&RULE, "/etc/dracut.conf.d/01-ec2.conf");
        assert_eq!(text, "hostonly=yes\nomit_drivers+=\" floppy \"\n");
    }

    #[test]
    fn the_mkinitrd_of_suse_11_gets_the_modules_by_name() {
        let bench = Bench::debian().file(SYSCONFIG, "INITRD_MODULES=\"xenblk ext3\"\n");
        let text = bench.mended_text(&RULE, SYSCONFIG);
        assert_eq!(
            text,
            "INITRD_MODULES=\"xenblk ext3 hv_vmbus hv_storvsc hv_netvsc hv_utils pci_hyperv sd_mod\"\n"
        );
    }
}
