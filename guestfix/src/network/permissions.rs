//! Whether the user that a service runs as may read a file: the mode of the file and of its folder (systemd.exec(5),
//! "User="; path_resolution(7)).

use crate::systemd::{self, Unit};
use crate::text::ini;
use crate::{Result, View};

const PASSWD: &str = "/etc/passwd";

/// Whether the service of this unit may read the file. Of a user that is not known nothing is said.
pub(super) fn may_read(view: &dyn View, unit: &str, path: &str) -> Result<bool> {
    let Some((uid, gid)) = user(view, unit)? else { return Ok(true) };
    let dir = path.rsplit_once('/').map_or("/", |(dir, _)| dir);
    // A folder is to be listed and gone through.
    for (path, wanted) in [(dir, 0o5), (path, 0o4)] {
        let Some(node) = view.stat(path)? else { continue };
        let bits = match () {
            () if node.uid == uid => node.mode >> 6,
            () if node.gid == gid => node.mode >> 3,
            () => node.mode,
        };
        if bits & wanted != wanted {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The user and group of a service, where it is not root's.
fn user(view: &dyn View, unit: &str) -> Result<Option<(u32, u32)>> {
    let Unit::There { name, path } = Unit::find(view, unit)? else { return Ok(None) };
    let text = systemd::text(view, &name, &path)?;
    let Some(user) =
        ini::values(&text, "Service", "User").pop().filter(|name| !matches!(*name, "" | "root" | "0"))
    else {
        return Ok(None);
    };
    let passwd = view.text(PASSWD)?.unwrap_or_default();
    Ok(passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(user) {
            return None;
        }
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn a_file_is_read_by_its_owner_its_group_or_all() {
        let file = "/etc/systemd/network/a.network";
        let bench = Bench::debian()
            .file("/usr/lib/systemd/system/n.service", "[Service]\nUser=net\n")
            .file(PASSWD, "root:x:0:0::/root:/bin/sh\nnet:x:998:0::/:/bin/false\n")
            .file(file, "");
        let reads = |bench: &Bench| bench.guest(|guest| may_read(guest.view, "n.service", file).unwrap());
        for (mode, is_read) in [(0o644, true), (0o640, true), (0o604, false), (0o600, false)] {
            assert_eq!(reads(&bench.clone().mode(file, mode)), is_read, "{mode:o}");
        }
        let root = bench.clone().file("/usr/lib/systemd/system/n.service", "[Service]\n");
        assert!(reads(&root.mode(file, 0o600)));
        let unknown = bench.mode(file, 0o600).file(PASSWD, "");
        assert!(reads(&unknown));
    }
}
