//! modprobe's configuration in the guest and in an initramfs: which files it reads (modprobe.d(5)).

use std::collections::BTreeMap;

use crate::place::Place;
use crate::text::modprobe;
use crate::{Result, View};

/// Where the files are on disk: of several of one name, that in the first of these counts.
const DIRS: [&str; 4] =
    ["/etc/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"];
/// That of the tools before kmod, which read it as well.
const OLD: &str = "/etc/modprobe.conf";

/// The files that are in force, in the order in which they are read. One that is a link to /dev/null has
/// nothing in it, and is there to hide others.
pub(crate) fn files(view: &dyn View) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for dir in DIRS {
        all.extend(view.glob(dir, ".conf")?);
    }
    all.extend(view.exists(OLD)?.then(|| OLD.to_owned()));
    Ok(in_force(all))
}

/// Those of an initramfs, whose paths have no slash in front, that are in force.
pub(crate) fn in_force(mut files: Vec<String>) -> Vec<String> {
    let rank =
        |path: &String| DIRS.iter().position(|dir| path.trim_start_matches('/').starts_with(&dir[1..]));
    files.sort_by_key(&rank);
    let mut by_name: BTreeMap<String, String> = BTreeMap::new();
    for path in files {
        // the old one has no folder, and hides none
        let name = if rank(&path).is_some() { path.rsplit('/').next().unwrap_or(&path) } else { &path };
        let name = name.to_owned();
        by_name.entry(name).or_insert(path);
    }
    by_name.into_values().collect()
}

/// Whether modprobe reads a file with this path, with or without a slash in front.
pub(crate) fn is_config(path: &str) -> bool {
    let path = path.trim_start_matches('/');
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    path == &OLD[1..] || name.ends_with(".conf") && DIRS.iter().any(|known| known[1..] == *dir)
}

/// All modules that the guest's configuration keeps from being loaded when a device or a file system asks for
/// them, and the lines that do.
pub(crate) fn forbidden(view: &dyn View) -> Result<Vec<(String, Place)>> {
    let mut out = Vec::new();
    for file in files(view)? {
        let text = view.text(&file)?.unwrap_or_default();
        let found = modprobe::forbidden(&text).into_iter();
        out.extend(found.map(|(line, module, _)| (module, Place::line(&file, line))));
    }
    Ok(out)
}

/// The line of [`forbidden`] that is about this module.
pub(crate) fn line_about<'a>(forbidden: &'a [(String, Place)], module: &str) -> Option<&'a Place> {
    forbidden.iter().find(|(name, _)| name == module).map(|(_, place)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    fn found(bench: &Bench) -> Vec<String> {
        let found = bench.guest(|guest| forbidden(guest.view).unwrap());
        found.into_iter().map(|(module, place)| format!("{module} {place}")).collect()
    }

    #[test]
    fn all_folders_are_read_and_the_first_file_of_a_name_counts() {
        let mut bench = Bench::debian();
        for dir in DIRS.iter().rev() {
            let file = format!("{dir}/x.conf");
            bench = bench.file(&file, "blacklist hv-vmbus\n");
            assert_eq!(found(&bench), [format!("hv_vmbus {file}:1")]);
        }
        let other = bench.clone().file("/lib/modprobe.d/a.conf", "install xfs /bin/true\n");
        assert_eq!(found(&other), ["xfs /lib/modprobe.d/a.conf:1", "hv_vmbus /etc/modprobe.d/x.conf:1"]);
        let old = other.file(OLD, "install udf /bin/true\n");
        assert!(found(&old).contains(&format!("udf {OLD}:1")));
        let masked =
            bench.clone().without("/etc/modprobe.d/x.conf").link("/etc/modprobe.d/x.conf", "/dev/null");
        assert_eq!(found(&masked), [""; 0]);
        let no_conf = Bench::debian().file("/etc/modprobe.d/x.conf.bak", "blacklist hv-vmbus\n");
        assert_eq!(found(&no_conf), [""; 0]);
    }

    #[test]
    fn the_files_of_an_initramfs_are_known_by_their_paths() {
        for path in [
            "etc/modprobe.d/a.conf",
            "lib/modprobe.d/a.conf",
            "usr/lib/modprobe.d/a.conf",
            "etc/modprobe.conf",
        ] {
            assert!(is_config(path) && is_config(&format!("/{path}")), "{path}");
        }
        for path in ["etc/modprobe.d/a", "modprobe.d/a.conf", "etc/modprobe.d/b/a.conf", "lib/modprobe.conf"]
        {
            assert!(!is_config(path), "{path}");
        }
        let both = ["lib/modprobe.d/a.conf", "etc/modprobe.d/a.conf"].map(str::to_owned);
        assert_eq!(in_force(both.into()), ["etc/modprobe.d/a.conf"]);
    }
}
