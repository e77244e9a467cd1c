//! linux.modprobe.blacklist

use std::collections::BTreeSet;

use super::initramfs_hyperv::{Room, replace};
use crate::modprobe::{self, forbidden};
use crate::platform::Drivers;
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::rules::linux::boot::arguments;
use crate::text::bytes;
use crate::text::cmdline::{self, Change};
use crate::text::modprobe::{Command, commands, comment_out_commands, list};
use crate::{Error, Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, bootwalk};

/// Drivers that somebody forbade and that Azure needs.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.modprobe.blacklist",
        title: "modprobe may load what Azure needs",
        pack: Pack::Linux,
        phase: Phase::Drivers,
        // whether it stops this boot is for the boot walk to say
        severity: Severity::Warning,
        cause: "Hardening guides forbid modules of other hypervisors, udf and vfat. On Azure those of Hyper-V are disk \
                and network, vfat is the EFI partition and udf the provisioning disc. What is forbidden on the root \
                gets into the next initramfs, if it is not in this one.",
        fix: "The blacklist and install lines of these modules become comments, those that are copied into an \
              initramfs too, and their names go from lists of forbidden modules on the kernel command line.",
        source: &[
            Source::new("Microsoft Learn", "Prepare Linux for imaging in Azure (udf and vfat)", "2026-09"),
            Source::new("linux-hyperv-issue", "Scenario 3", "2026"),
            Source::new("modprobe.d(5)", "", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let drivers = &guest.goal.target.platform.drivers;
    let mut evidence = Vec::new();
    for (module, place) in forbidden(guest.view)? {
        let module = needed(drivers, &module);
        evidence.extend(module.map(|module| Evidence::new(place, format!("{module} is blacklisted"))));
    }
    for path in images(guest) {
        for (file, text) in texts(guest, &path)? {
            for command in commands(&text).iter().filter(|command| forbids(command, drivers)) {
                let what = format!("its {file}:{} says {}", command.line, command.words.join(" "));
                evidence.push(Evidence::new(&path, what));
            }
        }
    }
    evidence.extend(arguments::faults(guest, |place, cmdline| listed(place, cmdline, drivers))?);
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let (files, platform) = (modprobe::files(guest.view)?, guest.goal.target.platform);
    let (images, mut room) = (images(&guest), Room::of(guest.view.machine()));
    let why = format!("{} needs this module", platform.name);
    let allowed =
        |text: &str| comment_out_commands(text, &why, |command| forbids(command, &platform.drivers));
    for file in files {
        stage.edit(&file, allowed)?;
    }
    for path in images {
        let guest = stage.guest()?;
        let mut mended = Vec::new();
        for (file, text) in texts(&guest, &path)? {
            let new = allowed(&text);
            mended.extend((new != text).then(|| (file, bytes::encode(&new).into_owned())));
        }
        let Some(content) = guest.view.read(&path)?.filter(|_| !mended.is_empty()) else { continue };
        let files: Vec<(&str, &[u8])> = mended.iter().map(|(file, text)| (file.as_str(), &**text)).collect();
        let parsed = guest.archives.get(&path, &content)?;
        let new = initramfs::put_files(parsed.archive(), &files);
        let new = new.map_err(|source| Error::Initramfs { path: path.clone(), source: source.into() })?;
        replace(stage, &path, new, &mut room)?;
    }
    arguments::edit(stage, |cmdline| without(cmdline, &platform.drivers))?;
    Ok(Fixed::Staged)
}

/// The system's initramfs of each boot entry.
fn images(guest: &Guest<'_>) -> BTreeSet<String> {
    guest.facts.boot.entries.iter().filter_map(|entry| entry.initrds.last().cloned()).collect()
}

/// modprobe's configuration in an initramfs; none of one that cannot be read, which is the business of
/// linux.initramfs.hyperv.
fn texts(guest: &Guest<'_>, path: &str) -> Result<Vec<(String, String)>> {
    let Some(content) = guest.view.read(path)? else { return Ok(Vec::new()) };
    let Ok(parsed) = guest.archives.get(path, &content) else { return Ok(Vec::new()) };
    bootwalk::initramfs::modprobe_files(parsed.archive())
}

/// Arguments that forbid a module that the platform needs.
fn listed(place: &Place, cmdline: &str, drivers: &Drivers) -> Vec<Evidence> {
    let fault = |token: &str| {
        let (_, names) = list(token)?;
        let module = names.iter().find_map(|name| needed(drivers, name))?;
        Some(Evidence::new(place, format!("{token} keeps {module} from being loaded")))
    };
    cmdline::tokens(cmdline).filter_map(fault).collect()
}

/// The command line without those names, and without lists that hold no other.
fn without(cmdline: &str, drivers: &Drivers) -> String {
    cmdline::edit(cmdline, |token| {
        let Some((key, names)) = list(token) else { return Change::Keep };
        let others: Vec<&str> =
            names.iter().copied().filter(|name| needed(drivers, name).is_none()).collect();
        match others.len() {
            0 => Change::Drop,
            left if left == names.len() => Change::Keep,
            _ => Change::Replace(format!("{key}={}", others.join(","))),
        }
    })
}

fn needed(drivers: &Drivers, module: &str) -> Option<&'static str> {
    let module = module.replace('-', "_");
    drivers.allowed.iter().find(|needed| **needed == module).copied().or(drivers.of_initcall(&module))
}

/// Whether a command forbids a module that the platform needs.
fn forbids(command: &Command<'_>, drivers: &Drivers) -> bool {
    command.forbidden().is_some_and(|(module, _)| needed(drivers, &module).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{Bench, ROOT_UUID, grub_cfg, initramfs_with};

    #[test]
    fn lines_that_forbid_become_comments() {
        let text = "# hardening\nblacklist hv-vmbus\nblacklist floppy\ninstall udf /bin/true\ninstall vfat /sbin/modprobe --ignore-install vfat\n";
        let bench = Bench::debian().file("/etc/modprobe.d/cis.conf", text);
        let found = bench.findings(&RULE);
        assert_eq!(
            found,
            [
                "/etc/modprobe.d/cis.conf:2: hv_vmbus is blacklisted",
                "/etc/modprobe.d/cis.conf:4: udf is blacklisted"
            ]
        );
        let mended = bench.mended_text(&RULE, "/etc/modprobe.d/cis.conf");
        let why = "# refloat: Azure needs this module: ";
        let expected = text
            .replace("blacklist hv", &format!("{why}blacklist hv"))
            .replace("install udf", &format!("{why}install udf"));
        assert_eq!(mended, expected);
    }

    #[test]
    fn every_folder_of_modprobe_is_looked_at() {
        for dir in ["/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"] {
            let file = format!("{dir}/cis.conf");
            let bench = Bench::debian().file(&file, "install hv_netvsc \\\n /bin/false\n");
            assert_eq!(bench.findings(&RULE), [format!("{file}:1: hv_netvsc is blacklisted")]);
            assert!(bench.mended_text(&RULE, &file).starts_with("# refloat: "));
        }
    }

    #[test]
    fn names_go_from_lists_on_the_command_line() {
        let root = format!("UUID={ROOT_UUID}");
        for (before, after) in [
            ("module_blacklist=hv_netvsc quiet", "quiet"),
            ("modprobe.blacklist=floppy,hv-vmbus,nouveau", "modprobe.blacklist=floppy,nouveau"),
            ("rd.driver.blacklist=hv_storvsc,sd_mod nosmt", "nosmt"),
            ("blacklist=hv_storvsc nosmt", "nosmt"),
            ("module-blacklist=hv-storvsc,floppy", "module-blacklist=floppy"),
            ("initcall_blacklist=algif_aead_init,hv_acpi_init", "initcall_blacklist=algif_aead_init"),
        ] {
            let bench = Bench::debian().file("/boot/grub/grub.cfg", grub_cfg(&root, before));
            assert!(bench.findings(&RULE)[0].contains("from being loaded"));
            assert_eq!(bench.mended_text(&RULE, "/boot/grub/grub.cfg"), grub_cfg(&root, after));
        }
        let others =
            Bench::debian().file("/boot/grub/grub.cfg", grub_cfg(&root, "rd.driver.blacklist=nouveau"));
        assert_eq!(others.findings(&RULE), [""; 0]);
    }

    #[test]
    fn the_copy_in_an_initramfs_is_mended_too() {
        const IMAGE: &str = "/boot/initrd.img-6.1.0-50-amd64";
        const FILE: &str = "etc/modprobe.d/cis.conf";
        let text = "install hv_storvsc /bin/true\nblacklist floppy\n";
        let bench = Bench::debian().file(IMAGE, initramfs_with(&[("init", "x"), (FILE, text)]));
        assert_eq!(
            bench.findings(&RULE),
            [format!("{IMAGE}: its {FILE}:1 says install hv_storvsc /bin/true")]
        );
        bench.mended(&RULE, |view| {
            let content = view.read(IMAGE).unwrap().unwrap();
            let archive = initramfs::Archive::parse(&content, &initramfs::Limits::default()).unwrap();
            let mended = bytes::decode(archive.find(FILE).unwrap().data().unwrap());
            assert_eq!(mended, format!("# refloat: Azure needs this module: {text}"));
            assert!(view.exists(&format!("{IMAGE}.pre-azure")).unwrap());
        });
    }
}
