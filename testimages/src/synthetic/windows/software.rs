//! The hive SOFTWARE, as far as it tells which Windows this is and what EC2 put into it.

use std::collections::BTreeMap;

use super::reg::Reg;
use super::system::SERVICES;
use super::{Dress, Line, Version};

pub(super) fn compose(version: &Version, dress: &Dress) -> Reg {
    let mut reg = Reg::default();
    let current = "Microsoft\\Windows NT\\CurrentVersion";
    reg.text(current, "CurrentBuild", version.build).text(current, "CurrentBuildNumber", version.build);
    reg.text(current, "CurrentVersion", version.line.kernel());
    reg.text(current, "ProductName", version.product).text(current, "EditionID", version.edition);
    reg.text(current, "InstallationType", if version.client { "Client" } else { "Server" });
    reg.text(current, "SystemRoot", "C:\\Windows").text(current, "RegisteredOwner", "EC2");
    if let Some((major, minor)) = version.line.numbers() {
        reg.dword(current, "CurrentMajorVersionNumber", major).dword(
            current,
            "CurrentMinorVersionNumber",
            minor,
        );
    }
    if let Some(display) = version.display {
        reg.text(current, "DisplayVersion", display);
    }
    groups(&mut reg, version, &format!("{current}\\Svchost"));
    let profiles = format!("{current}\\ProfileList");
    reg.expand(&profiles, "ProfilesDirectory", "%SystemDrive%\\Users");
    reg.expand(
        &format!("{profiles}\\S-1-5-18"),
        "ProfileImagePath",
        "%systemroot%\\system32\\config\\systemprofile",
    );
    let logon = format!("{current}\\Winlogon");
    reg.text(&logon, "Userinit", "C:\\Windows\\system32\\userinit.exe,").text(
        &logon,
        "Shell",
        "explorer.exe",
    );
    let kms = format!("{current}\\SoftwareProtectionPlatform");
    if let Some(host) = dress.kms {
        reg.text(&kms, "KeyManagementServiceName", host).text(&kms, "KeyManagementServicePort", "1688");
    } else {
        reg.key(&kms);
    }
    reg.text("Microsoft\\Windows\\CurrentVersion\\Setup\\State", "ImageState", "IMAGE_STATE_COMPLETE");
    reg.key("Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\Packages");
    if dress.reboot_pending {
        reg.key("Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\RebootPending");
    }
    reg.key("Policies\\Microsoft\\Windows NT");
    reg.dword("Microsoft\\NET Framework Setup\\NDP\\v4\\Full", "Release", 461_808);
    reg
}

/// Which services are in each `svchost -k`: those that the control sets have.
fn groups(reg: &mut Reg, version: &Version, key: &str) {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    groups.insert("LocalService".to_owned(), vec!["W32Time"]);
    for (name, _, program) in SERVICES {
        if *name == "LSM" && version.line == Line::Seven {
            continue;
        }
        let Some((_, group)) = program.split_once(" -k ") else { continue };
        let known = groups.keys().find(|known| known.eq_ignore_ascii_case(group)).cloned();
        groups.entry(known.unwrap_or_else(|| group.to_owned())).or_default().push(name);
    }
    for (group, names) in groups {
        reg.texts(key, &group, &names);
    }
}
