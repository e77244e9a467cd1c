//! The SELinux labels of new files.

use libdisk::vfs::FileType;

use crate::path::split_str;
use crate::text::file_contexts::FileContexts;
use crate::text::shell_assign;
use crate::{Result, View};

/// An extended attribute: name and value.
pub(super) type Attribute = (Vec<u8>, Vec<u8>);

/// The attribute that holds a file's label.
const SELINUX: &[u8] = b"security.selinux";

/// The label for a new file in a directory of the guest as it is: what the guest's policy says. Where it is silent, that of
/// the first labelled file of the directory, else that of the directory, which is what the kernel would give it. None
/// where the directory has no labels at all.
pub(super) fn for_new(
    view: &dyn View,
    policy: Option<&FileContexts>,
    dir: &str,
    path: &str,
) -> Result<Option<Attribute>> {
    let Some(usual) = usual(view, dir)? else { return Ok(None) };
    let said = policy.and_then(|policy| policy.label(path, FileType::Regular));
    // the kernel keeps labels with a zero at their end
    Ok(Some(said.map_or(usual, |label| (SELINUX.to_vec(), format!("{label}\0").into_bytes()))))
}

/// The guest's policy, if it has one.
pub(super) fn policy(view: &dyn View) -> Result<Option<FileContexts>> {
    let config = view.text("/etc/selinux/config")?.unwrap_or_default();
    let name = shell_assign::get(&config, "SELINUXTYPE").unwrap_or("targeted");
    let read = |suffix: &str| view.text(&format!("/etc/selinux/{name}/contexts/files/file_contexts{suffix}"));
    let Some(main) = read("")? else { return Ok(None) };
    let (homes, local) = (read(".homedirs")?.unwrap_or_default(), read(".local")?.unwrap_or_default());
    let aliases = (read(".subs_dist")?.unwrap_or_default(), read(".subs")?.unwrap_or_default());
    let contexts = FileContexts::new([main.as_str(), &homes, &local]).with_aliases(&aliases.0, &aliases.1);
    Ok(Some(contexts))
}

fn usual(view: &dyn View, dir: &str) -> Result<Option<Attribute>> {
    let parent = if dir == "/" { "" } else { dir };
    for name in view.list(dir)? {
        let sibling = format!("{parent}/{name}");
        let metadata = view.lstat(&sibling)?;
        if metadata.is_some_and(|metadata| metadata.file_type == FileType::Regular)
            && let Some(label) = label_of(view.xattrs(&sibling)?)
        {
            return Ok(Some(label));
        }
    }
    Ok(label_of(view.xattrs(dir)?))
}

/// The directory that a new path stands in, or the nearest above it that `exists`.
pub(super) fn nearest_dir(path: &str, exists: impl Fn(&str) -> bool) -> Option<&str> {
    let mut dir = path;
    while let Some((parent, _)) = split_str(dir) {
        dir = parent;
        if exists(dir) {
            return Some(dir);
        }
    }
    None
}

fn label_of(xattrs: Vec<Attribute>) -> Option<Attribute> {
    xattrs.into_iter().find(|(name, _)| name == SELINUX)
}

#[cfg(test)]
mod tests {
    use libdisk::vfs::MemoryFs;

    use super::*;
    use crate::facts::Machine;
    use crate::tree::Tree;

    #[test]
    fn the_policy_has_the_first_word_and_a_directory_without_labels_the_last() {
        let fs = MemoryFs::from_entries([
            ("/etc/hosts", ""),
            ("/srv/x", ""),
            ("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=small\n"),
            ("/etc/selinux/small/contexts/files/file_contexts", "/etc/n(/.*)? u:r:new_t:s0\n"),
        ]);
        let fs = fs.xattr("/etc/hosts", "security.selinux", "net_conf_t");
        let machine =
            Machine { size: 0, table: "none", bios: Vec::new(), uefi: Vec::new(), volumes: Vec::new() };
        let tree = Tree::from_filesystems(vec![("/".into(), Box::new(fs))], machine);
        let policy = policy(&tree).unwrap();
        let label = |dir: &str, path: &str, policy: Option<&FileContexts>| {
            let (_, label) = for_new(&tree, policy, dir, path).unwrap()?;
            Some(String::from_utf8(label).unwrap())
        };
        assert_eq!(label("/etc", "/etc/n", policy.as_ref()).as_deref(), Some("u:r:new_t:s0\0"));
        assert_eq!(label("/etc", "/etc/other", policy.as_ref()).as_deref(), Some("net_conf_t"));
        assert_eq!(label("/etc", "/etc/n", None).as_deref(), Some("net_conf_t"));
        assert_eq!(label("/srv", "/srv/n", policy.as_ref()), None);
    }
}
