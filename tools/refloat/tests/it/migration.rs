//! What is asked of every real guest: what is wrong with it, what migration changed, how far it comes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use testimages::judge::{self, KernelMount};

use crate::program::json;

/// The rules that find fault with an image.
pub(crate) fn wrong(folder: &Path, image: &str, target: &str) -> Vec<String> {
    let check = json(folder, &format!("check {image} --for {target}"), 1);
    let items = check["items"].as_array().unwrap().iter();
    let wrong = items.filter(|item| item["verdict"] == "wrong");
    wrong.map(|item| item["rule"].as_str().unwrap().to_owned()).collect()
}

/// The answer of a boot, by the QEMU that is installed or by this one.
pub(crate) fn boot(
    folder: &Path,
    image: &str,
    target: &str,
    qemu: Option<&Path>,
    exit: i32,
) -> serde_json::Value {
    let mut line = format!("boot {image} --for {target} --quiet --timeout 900");
    line.extend(qemu.map(|qemu| format!(" --qemu {}", qemu.display())));
    let boot = json(folder, &line, exit);
    eprintln!("{image} for {target}: {} after {} s", boot["verdict"], boot["seconds"]);
    boot
}

/// It came to its login prompt, and waited for no device.
#[track_caller]
pub(crate) fn came_to_login(boot: &serde_json::Value) {
    assert_eq!((&boot["verdict"], &boot["waited_for"]), (&"login".into(), &serde_json::json!([])), "{boot}");
}

/// A plan that was written to a file.
pub(crate) fn plan(folder: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder.join("plan.json")).unwrap()).unwrap()
}

/// Every file of XFS file systems, by its path in the whole tree.
pub(crate) fn manifest_of_xfs(image: &Path, mounts: &[(&str, Range<u64>)]) -> BTreeMap<String, String> {
    let mut whole = BTreeMap::new();
    for (point, range) in mounts {
        let mount = KernelMount::with_options(image, range.clone(), "ro,norecovery,nouuid");
        let below = point.trim_end_matches('/');
        let files = judge::manifest(mount.path()).into_iter();
        whole.extend(files.map(|(path, what)| (format!("{below}{path}"), what)));
    }
    whole
}

/// Two trees of files differ only where the plan says.
pub(crate) fn only_planned_changes(
    folder: &Path,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) {
    let plan = plan(folder);
    let named: Vec<&str> =
        plan["steps"].as_array().unwrap().iter().filter_map(|step| step["path"].as_str()).collect();
    let changed = |path: &&String| before.get(*path) != after.get(*path);
    for path in before.keys().chain(after.keys()).filter(changed) {
        let planned = named.iter().any(|name| name == path || name.starts_with(&format!("{path}/")));
        assert!(planned, "{path} is not in the plan: {:?}, {:?}", before.get(path), after.get(path));
    }
}
