//! SELinux in a synthetic guest: a small policy, and the labels that libselinux reads out of it.

use std::fs;

use anyhow::{Result, ensure};

use super::disk::{run, tool};
use super::tree::{Node, Tree};

const FILES: &str = "/etc/selinux/targeted/contexts/files";

/// Paths as distributions label them, most general first.
const TYPES: &[(&str, &str)] = &[
    ("/.*", "default_t"),
    ("/\t-d", "root_t"),
    ("/bin\t-l", "bin_t"),
    ("/boot(/.*)?", "boot_t"),
    ("/boot/efi(/.*)?", "dosfs_t"),
    ("/boot/initramfs-.*\\.img.*\t--", "initrd_boot_t"),
    ("/dev(/.*)?", "device_t"),
    ("/etc(/.*)?", "etc_t"),
    ("/etc/dhcp/dhclient\\.conf.*", "dhcp_etc_t"),
    ("/etc/hosts[^/]*\t--", "net_conf_t"),
    ("/etc/lvm(/.*)?", "lvm_etc_t"),
    ("/etc/modprobe\\.d(/.*)?", "modules_conf_t"),
    ("/etc/NetworkManager(/.*)?", "NetworkManager_etc_t"),
    ("/etc/NetworkManager/system-connections(/.*)?", "NetworkManager_etc_rw_t"),
    ("/etc/passwd[^/]*\t--", "passwd_file_t"),
    ("/etc/resolv\\.conf.*", "net_conf_t"),
    ("/etc/selinux(/.*)?", "selinux_config_t"),
    ("/etc/selinux/([^/]*/)?contexts/files(/.*)?", "file_context_t"),
    ("/etc/shadow.*\t--", "shadow_t"),
    ("/etc/sysconfig/network-scripts(/.*)?", "net_conf_t"),
    ("/etc/udev/rules\\.d(/.*)?", "udev_rules_t"),
    ("/home\t-d", "home_root_t"),
    ("/mnt(/[^/]*)?", "mnt_t"),
    ("/proc", "proc_t"),
    ("/root(/.*)?", "admin_home_t"),
    ("/run(/.*)?", "var_run_t"),
    ("/srv(/.*)?", "var_t"),
    ("/sys", "sysfs_t"),
    ("/tmp", "tmp_t"),
    ("/usr(/.*)?", "usr_t"),
    ("/usr/bin(/.*)?", "bin_t"),
    ("/usr/lib(/.*)?", "lib_t"),
    ("/usr/lib/modules(/.*)?", "modules_object_t"),
    ("/usr/lib/systemd/system(/.*)?", "systemd_unit_file_t"),
    ("/usr/lib/udev/rules\\.d(/.*)?", "udev_rules_t"),
    ("/usr/sbin(/.*)?", "bin_t"),
    ("/var(/.*)?", "var_t"),
    ("/var/lib(/.*)?", "var_lib_t"),
    ("/var/lib/amazon(/.*)?", "amazon_ssm_var_lib_t"),
    ("/var/lib/cloud(/.*)?", "cloud_var_lib_t"),
];

/// Installs the policy, with SELinux in this mode.
pub(super) fn policy(tree: &mut Tree, mode: &str) {
    tree.file("/etc/selinux/config", format!("SELINUX={mode}\nSELINUXTYPE=targeted\n"));
    tree.file("/etc/selinux/targeted/policy/policy.33", "a synthetic of a policy in its binary form\n");
    let lines = TYPES.iter().map(|(path, kind)| format!("{path}\tsystem_u:object_r:{kind}:s0\n"));
    let none = "/lost\\+found(/.*)?\t<<none>>\n";
    tree.file(&format!("{FILES}/file_contexts"), lines.collect::<String>() + none);
    tree.file(
        &format!("{FILES}/file_contexts.homedirs"),
        "/home/[^/]+\t-d\tunconfined_u:object_r:user_home_dir_t:s0\n/home/[^/]+/.+\tunconfined_u:object_r:user_home_t:s0\n",
    );
    tree.file(
        &format!("{FILES}/file_contexts.subs_dist"),
        "/etc/systemd/system /usr/lib/systemd/system\n/lib /usr/lib\n/lib64 /usr/lib\n/sbin /usr/sbin\n",
    );
}

/// The tree with the labels of its policy; without any where it has none, or where SELinux is off.
pub(super) fn labelled(tree: &Tree) -> Result<Tree> {
    let mut out = tree.clone();
    let config = tree.text("/etc/selinux/config");
    if config.is_empty() || config.starts_with("SELINUX=disabled") {
        return Ok(out);
    }
    let work = tempfile::tempdir()?;
    let main = work.path().join("file_contexts");
    for suffix in ["", ".homedirs", ".subs_dist"] {
        let copy = work.path().join(format!("file_contexts{suffix}"));
        fs::write(copy, tree.text(&format!("{FILES}/file_contexts{suffix}")))?;
    }
    let of_kind = |kind: &str, node: &Node| match node {
        Node::Directory => kind == "dir",
        Node::File { .. } => kind == "file",
        Node::Link(_) => kind == "lnk_file",
    };
    for kind in ["dir", "file", "lnk_file"] {
        let mut paths: Vec<&str> =
            tree.iter().filter(|(_, node)| of_kind(kind, node)).map(|(path, _)| path).collect();
        paths.extend((kind == "dir").then_some("/"));
        let mut matchpathcon = tool("matchpathcon");
        matchpathcon.args(["-n", "-N", "-m", kind, "-f"]).arg(&main).args(&paths);
        let answer = String::from_utf8(run(&mut matchpathcon, &[])?)?;
        ensure!(answer.lines().count() == paths.len(), "matchpathcon answers for each path");
        for (path, label) in paths.into_iter().zip(answer.lines()) {
            out.set_label(path, label);
        }
    }
    Ok(out)
}
