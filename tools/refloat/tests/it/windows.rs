//! A Windows with what its user asks for beside the move: Azure's agent, and all that Microsoft asks of images.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use testimages::judge::{self, Depth};
use testimages::synthetic;

use crate::program::{failure, json, refloat};

/// With two control sets, on its first partition.
fn guest() -> Option<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::tempdir().unwrap();
    let image = synthetic::named("windows-2008r2").copy_into(folder.path())?;
    std::fs::rename(image, folder.path().join("win.img")).unwrap();
    let image = folder.path().join("win.img");
    Some((folder, image))
}

const VERSION: &str = "GuestAgent_2.7.41491.1083_2023-05-17_110503";

/// `C:\WindowsAzure` as a machine with the agent has it; the programs are headers.
fn agent(folder: &Path) {
    let mut program = vec![0_u8; 70_000];
    program[..2].copy_from_slice(b"MZ");
    program[0x3c] = 0x80;
    program[0x80..0x86].copy_from_slice(b"PE\0\0\x64\x86");
    for version in ["GuestAgent_2.7.41491.901_2019-08-16_162318", VERSION] {
        let folder = folder.join("agent").join(version);
        std::fs::create_dir_all(folder.join("Deutsch/ä b")).unwrap();
        for name in ["WaAppAgent.exe", "WindowsAzureGuestAgent.exe", "Deutsch/ä b/Resources.dll"] {
            std::fs::write(folder.join(name), [program.as_slice(), version.as_bytes()].concat()).unwrap();
        }
        std::fs::write(folder.join("CommonAgentConfig.config"), "<configuration/>\r\n").unwrap();
        std::fs::write(folder.join("empty.manifest"), "").unwrap();
    }
}

/// What ntfs-3g finds on the volume, which is sound to all judges.
fn sound(image: &Path) -> Option<std::collections::BTreeMap<String, String>> {
    let entry = &std::fs::read(image).unwrap()[446 + 8..446 + 16];
    let number = |at: usize| u64::from(u32::from_le_bytes(entry[at..at + 4].try_into().unwrap())) * 512;
    let cut = judge::cut(image, number(0)..number(0) + number(4));
    let complaints = judge::ntfs_complaints(cut.path(), Depth::Everything);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    (judge::need("ntfs-3g").is_some() && judge::need_kernel_mounts())
        .then(|| judge::ntfs_manifest(cut.path()))
}

/// SYSTEM as hivex reads it.
fn system(folder: &Path, image: &str) -> Option<String> {
    judge::need("hivexml")?;
    let cat = format!("fs cat {image}#/Windows/System32/config/SYSTEM --allow-backing .");
    let hive = crate::program::command(folder, &cat).output().unwrap().stdout;
    std::fs::write(folder.join("SYSTEM"), hive).unwrap();
    let xml = judge::run(judge::tool("hivexml").arg(folder.join("SYSTEM"))).stdout;
    Some(String::from_utf8(xml).unwrap())
}

#[test]
fn azures_agent_is_put_where_its_services_look_and_taken_back() {
    let Some((at, image)) = guest() else { return };
    let folder = at.path();
    agent(folder);
    let before = judge::sha256(&image);
    let (files, hive) = (sound(&image), system(folder, "win.img"));
    let without = refloat(folder, "plan win.img --for azure-gen1 -o plan.json --force", 0);
    assert!(without.contains("windows.agents.vm-agent  by hand"), "{without}");
    let said = refloat(folder, "plan win.img --for azure-gen1 --windows-agent agent -o plan.json --force", 0);
    assert!(!said.contains("windows.agents.vm-agent  by hand"), "{said}");
    let size = 70_000 + VERSION.len();
    assert!(said.contains(&format!("put {size} bytes at /WindowsAzure/{VERSION}/WaAppAgent.exe")), "{said}");
    assert_eq!(said.matches("\\Services\\RdAgent]").count(), 2, "both control sets: {said}");
    // By who has no agent any more.
    std::fs::rename(folder.join("agent"), folder.join("gone")).unwrap();
    refloat(folder, "apply plan.json --in-place", 0);
    std::fs::rename(folder.join("gone"), folder.join("agent")).unwrap();
    if let (Some(before), Some(after)) = (files, sound(&image)) {
        let new: BTreeSet<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
        let wanted =
            ["", "/CommonAgentConfig.config", "/Deutsch", "/Deutsch/ä b", "/Deutsch/ä b/Resources.dll"]
                .into_iter()
                .chain(["/WaAppAgent.exe", "/WindowsAzureGuestAgent.exe", "/empty.manifest"])
                .map(|path| format!("/WindowsAzure/{VERSION}{path}"));
        let wanted: Vec<_> = ["/WindowsAzure".to_owned()].into_iter().chain(wanted).collect();
        assert_eq!(new, wanted.iter().collect(), "nothing else is new");
        assert!(before.keys().all(|path| after.contains_key(path)));
    }
    if let (Some(before), Some(after)) = (hive, system(folder, "win.img")) {
        assert!(!before.contains("RdAgent"));
        for service in ["RdAgent", "WindowsAzureGuestAgent"] {
            assert_eq!(after.matches(&format!("<node name=\"{service}\"")).count(), 2, "{service}");
        }
        let program = format!(r"C:\WindowsAzure\{VERSION}\WaAppAgent.exe");
        assert_eq!(after.matches(&program).count(), 2);
    }
    let again = json(folder, "plan win.img --for azure-gen1 --windows-agent agent", 0);
    assert_eq!(again["steps"].as_array().unwrap().len(), 0, "{again}");
    assert!(
        again["by_hand"].as_array().unwrap().iter().all(|fault| fault["rule"] != "windows.agents.vm-agent")
    );
    refloat(folder, "undo win.img", 0);
    assert_eq!(judge::sha256(&image), before);
}

#[test]
fn a_folder_without_an_agent_is_refused() {
    let Some((at, image)) = guest() else { return };
    let (folder, before) = (at.path(), judge::sha256(&image));
    agent(folder);
    let inner = folder.join("agent").join(VERSION);
    let refused = |given: &str, why: &str| {
        for verb in ["check win.img", "plan win.img -o plan.json", "migrate win.img azure.vhd"] {
            let said = failure(folder, &format!("{verb} --for azure-gen1 --windows-agent {given}"));
            assert!(said.contains(why) && said.contains("help: give --windows-agent"), "{verb}: {said}");
        }
    };
    refused("nowhere", "nowhere: there is no such folder");
    refused("win.img", "win.img: there is no such folder");
    std::fs::create_dir(folder.join("empty")).unwrap();
    refused("empty", "there is no WindowsAzureGuestAgent.exe");
    std::fs::write(inner.join("a:b"), "").unwrap();
    refused("agent", "a:b is no name for a file of Windows");
    std::fs::remove_file(inner.join("a:b")).unwrap();
    std::os::unix::fs::symlink("WaAppAgent.exe", inner.join("link")).unwrap();
    refused("agent", "link: it is neither a file nor a folder");
    std::fs::remove_file(inner.join("link")).unwrap();
    std::fs::write(inner.join("WaAppAgent.exe"), "MZ").unwrap();
    refused("agent", "WaAppAgent.exe is no program of Windows");
    assert_eq!(judge::sha256(&image), before);
    assert!(!folder.join("plan.json").exists() && !folder.join("azure.vhd").exists());
}

#[test]
fn what_microsoft_asks_of_images_is_done_for_who_asks() {
    let Some((at, _)) = guest() else { return };
    let folder = at.path();
    let of_strict = |plan: &serde_json::Value| -> BTreeSet<String> {
        let steps = plan["steps"].as_array().unwrap().iter();
        let rules = steps.flat_map(|step| step["rules"].as_array().unwrap());
        let rules = rules.map(|rule| rule.as_str().unwrap().to_owned());
        rules.filter(|rule| rule.starts_with("windows.strict.")).collect()
    };
    let usual = json(folder, "plan win.img --for azure-gen1", 0);
    assert_eq!(of_strict(&usual).len(), 0);
    let strict = json(folder, "plan win.img --for azure-gen1 --strict -o plan.json", 0);
    let rules = ["crash-dumps", "firewall", "sessions"].map(|rule| format!("windows.strict.{rule}"));
    assert_eq!(of_strict(&strict), BTreeSet::from(rules), "the others are content");
    refloat(folder, "apply plan.json -o fixed.qcow2", 0);
    let again = json(folder, "plan fixed.qcow2 --allow-backing . --for azure-gen1 --strict", 0);
    assert_eq!(again["steps"].as_array().unwrap().len(), 0, "{again}");
    if let Some(system) = system(folder, "fixed.qcow2") {
        assert_eq!(system.matches("AzurePlatform-In").count(), 2, "both control sets");
    }
}
