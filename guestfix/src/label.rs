//! The SELinux labels of what is new in a guest: files, links, directories.

use std::cell::OnceCell;

use libdisk::vfs::FileType;

use crate::path::split_str;
use crate::text::file_contexts::FileContexts;
use crate::text::shell_assign;
use crate::{Result, View};

/// An extended attribute: name and value.
pub(crate) type Attribute = (Vec<u8>, Vec<u8>);

/// The attribute that holds a file's label.
const SELINUX: &[u8] = b"security.selinux";

/// What labels new nodes of a guest get.
pub(crate) struct Labels<'a> {
    /// The guest as it is.
    guest: &'a dyn View,
    /// Its policy, once something new asked for it.
    policy: OnceCell<Option<FileContexts>>,
}

impl<'a> Labels<'a> {
    /// Those of this guest; nothing is read yet.
    pub(crate) fn new(guest: &'a dyn View) -> Self {
        Self { guest, policy: OnceCell::new() }
    }

    /// The label for a new node at a resolved path: what the guest's policy says. Where it is silent, that of
    /// the first labelled node of the same type in its directory, or the nearest above that exists, else
    /// that of the directory, which is what the kernel would give it. None where the directory has no
    /// labels at all.
    pub(crate) fn for_new(&self, path: &str, file_type: FileType) -> Result<Option<Attribute>> {
        let Some(usual) = self.usual(path, file_type)? else { return Ok(None) };
        if self.policy.get().is_none() {
            _ = self.policy.set(policy(self.guest)?);
        }
        let policy = self.policy.get().and_then(Option::as_ref);
        let said = policy.and_then(|policy| policy.label(path, file_type));
        // the kernel keeps labels with a zero at their end
        Ok(Some(said.map_or(usual, |label| (SELINUX.to_vec(), format!("{label}\0").into_bytes()))))
    }

    /// What the neighbours have.
    fn usual(&self, path: &str, file_type: FileType) -> Result<Option<Attribute>> {
        let Some(dir) = self.nearest_dir(path)? else { return Ok(None) };
        let parent = if dir == "/" { "" } else { dir };
        for name in self.guest.list(dir)? {
            let sibling = format!("{parent}/{name}");
            let metadata = self.guest.lstat(&sibling)?;
            if metadata.is_some_and(|metadata| metadata.file_type == file_type)
                && let Some(label) = label_of(self.guest.xattrs(&sibling)?)
            {
                return Ok(Some(label));
            }
        }
        Ok(label_of(self.guest.xattrs(dir)?))
    }

    /// The directory that a new path stands in, or the nearest above it that is there.
    fn nearest_dir<'p>(&self, path: &'p str) -> Result<Option<&'p str>> {
        let mut dir = path;
        while let Some((parent, _)) = split_str(dir) {
            dir = parent;
            if self.guest.lstat(dir)?.is_some_and(|metadata| metadata.file_type == FileType::Directory) {
                return Ok(Some(dir));
            }
        }
        Ok(None)
    }
}

/// The guest's policy, if it has one.
fn policy(view: &dyn View) -> Result<Option<FileContexts>> {
    let config = view.text("/etc/selinux/config")?.unwrap_or_default();
    let name = shell_assign::get(&config, "SELINUXTYPE").unwrap_or("targeted");
    let read = |suffix: &str| view.text(&format!("/etc/selinux/{name}/contexts/files/file_contexts{suffix}"));
    let Some(main) = read("")? else { return Ok(None) };
    let (homes, local) = (read(".homedirs")?.unwrap_or_default(), read(".local")?.unwrap_or_default());
    let aliases = (read(".subs_dist")?.unwrap_or_default(), read(".subs")?.unwrap_or_default());
    let contexts = FileContexts::new([main.as_str(), &homes, &local]).with_aliases(&aliases.0, &aliases.1);
    Ok(Some(contexts))
}

fn label_of(xattrs: Vec<Attribute>) -> Option<Attribute> {
    xattrs.into_iter().find(|(name, _)| name == SELINUX)
}

#[cfg(test)]
mod tests {
    use libdisk::vfs::MemoryFs;

    use super::*;
    use crate::facts::{Lvm, Machine, TableKind};
    use crate::tree::Tree;

    #[test]
    fn the_policy_has_the_first_word_and_a_directory_without_labels_the_last() {
        let fs = MemoryFs::from_entries([
            ("/etc/hosts", ""),
            ("/srv/x", ""),
            ("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=small\n"),
            (
                "/etc/selinux/small/contexts/files/file_contexts",
                "/etc/n(/.*)? u:r:new_t:s0\n/etc/l -l u:r:link_t:s0\n",
            ),
        ]);
        let fs = fs.xattr("/etc/hosts", "security.selinux", "net_conf_t");
        let fs = fs.xattr("/etc", "security.selinux", "etc_t");
        let machine = Machine {
            size: 0,
            table: TableKind::None,
            remote: false,
            table_faults: Vec::new(),
            data_disks: Vec::new(),
            bios: Vec::new(),
            uefi: Vec::new(),
            volumes: Vec::new(),
            lvm: Lvm::default(),
        };
        let tree = Tree::from_filesystems(vec![("/".into(), Box::new(fs))], machine);
        let label = |labels: &Labels<'_>, path: &str, file_type: FileType| {
            let (_, label) = labels.for_new(path, file_type).unwrap()?;
            Some(String::from_utf8(label).unwrap())
        };
        let (labels, silent) = (Labels::new(&tree), Labels { guest: &tree, policy: OnceCell::from(None) });
        for (path, file_type, said) in [
            ("/etc/n", FileType::Regular, "u:r:new_t:s0\0"),
            ("/etc/other", FileType::Regular, "net_conf_t"),
            ("/etc/new/n", FileType::Regular, "net_conf_t"),
            ("/etc/l", FileType::Symlink, "u:r:link_t:s0\0"),
            ("/etc/other", FileType::Symlink, "etc_t"),
            ("/etc/n/d", FileType::Directory, "u:r:new_t:s0\0"),
        ] {
            assert_eq!(label(&labels, path, file_type).as_deref(), Some(said), "{path}");
        }
        assert_eq!(label(&silent, "/etc/n", FileType::Regular).as_deref(), Some("net_conf_t"));
        assert_eq!(label(&labels, "/srv/n", FileType::Regular), None);
    }
}
