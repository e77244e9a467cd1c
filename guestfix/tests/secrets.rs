//! Secrets of the guest are in no diff and no plan, whatever is done to the files that hold them; and the
//! files are right.

use guestfix::edit::{Content, Edit};
use guestfix::facts::{Lvm, Machine, TableKind};
use guestfix::plan::{Identity, Plan, plan};
use guestfix::platform::azure;
use guestfix::tree::Tree;
use guestfix::{Goal, View, apply};
use libdisk::vfs::MemoryFs;

/// Stands in every secret, and nowhere else.
const SECRET: &str = "hunter2";

/// Files that rules of ours take away or change, each with a secret in it.
fn guest() -> MemoryFs {
    let private = format!("-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----\n");
    MemoryFs::from_entries([
        ("/etc/os-release", "ID=debian\nVERSION_ID=12\nPRETTY_NAME=Debian\n"),
        ("/usr/bin/amazon-ssm-agent", "x"),
        ("/var/lib/amazon/ssm/Vault/Store/RegistrationKey", SECRET),
        ("/var/lib/amazon/ssm/Vault/Manifest", &format!("{{\"key\":\"{SECRET}\"}}")),
        ("/root/.aws/credentials", &format!("[default]\naws_secret_access_key={SECRET}\n")),
        ("/etc/ssl/private/site.key", &private),
        (
            "/etc/fstab",
            &format!(
                "# caf\u{e9}\nUUID=1 / ext4 defaults 0 1\n\
                 //server/share /srv cifs username=a,password={SECRET} 0 0\n\
                 /dev/xvdb /mnt auto defaults,nofail,x-token={SECRET} 0 2\n"
            ),
        ),
        (
            "/boot/grub/grub.cfg",
            &format!(
                "set superusers=root\npassword_pbkdf2 root grub.pbkdf2.sha512.10000.{SECRET}\n\
                 set timeout=0\nmenuentry 'x' {{\n linux /boot/vmlinuz-6.1 root=/dev/xvda1 console=hvc0\n \
                 initrd /boot/initrd.img-6.1\n}}\n"
            ),
        ),
        (
            "/etc/netplan/50-cloud-init.yaml",
            &format!(
                "network:\n  version: 2\n  ethernets:\n    ens5:\n      dhcp4: true\n      match:\n        \
                 macaddress: 02:00:00:00:00:01\n      auth:\n        password: {SECRET}\n"
            ),
        ),
        ("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"console=hvc0 root=/dev/xvda1\"\n"),
    ])
}

fn tree(fs: &MemoryFs) -> Tree {
    let machine = Machine {
        size: 8 << 30,
        table: TableKind::Mbr,
        remote: false,
        table_faults: Vec::new(),
        data_disks: Vec::new(),
        bios: vec!["boot code in the MBR".into()],
        uefi: Vec::new(),
        volumes: Vec::new(),
        lvm: Lvm::default(),
    };
    Tree::from_filesystems(vec![("/".into(), Box::new(fs.clone()))], machine)
}

fn paths(plan: &Plan) -> Vec<&str> {
    plan.steps
        .iter()
        .filter_map(|step| match &step.edit {
            Edit::PutFile { path, .. } | Edit::PutLink { path, .. } | Edit::Remove { path, .. } => {
                Some(path.as_str())
            }
            _ => None,
        })
        .collect()
}

#[test]
fn no_secret_is_in_a_diff_or_a_plan() {
    let mut fs = guest();
    let before = tree(&fs);
    let goal = Goal::new(&azure::GEN1);
    let plan = plan(&before, &[Identity::new("disk.img", 0, &[0; 32])], &goal).unwrap();
    let changed = paths(&plan);
    for path in ["/var/lib/amazon/ssm/Vault/Store/RegistrationKey", "/etc/fstab", "/boot/grub/grub.cfg"] {
        assert!(changed.contains(&path), "{path} is not changed, only {changed:?}");
    }
    let (json, diff) = (plan.to_json().unwrap(), plan.diff(&before).unwrap().to_string());
    assert!(!json.contains(SECRET), "{json}");
    assert!(!diff.contains(SECRET), "{diff}");
    assert!(diff.contains("password=(not-shown)"), "{diff}");

    // What was not shown is written all the same, and stays where it was.
    let plan = Plan::from_json(&json).unwrap();
    let edits: Vec<&Edit> = plan.steps.iter().map(|step| &step.edit).collect();
    apply::write(&mut fs, "p1", "/", &edits, &before, plan.time).unwrap();
    let after = tree(&fs);
    let text = |path: &str| after.text(path).unwrap().unwrap_or_default();
    assert!(text("/etc/fstab").contains(&format!("cifs username=a,password={SECRET}")));
    assert!(text("/boot/grub/grub.cfg").contains(&format!("grub.pbkdf2.sha512.10000.{SECRET}")));
    assert!(text("/boot/grub/grub.cfg").contains("console=ttyS0"));
    let kept = "/var/lib/amazon/ssm/Vault/Store/RegistrationKey.pre-azure";
    assert!(!after.exists(kept).unwrap() || text(kept) == SECRET);
}

/// A plan is for the file it was made for, to the byte.
#[test]
fn a_file_that_changed_meanwhile_is_not_put_together() {
    let mut fs = guest();
    let before = tree(&fs);
    let goal = Goal::new(&azure::GEN1);
    let plan = plan(&before, &[Identity::new("disk.img", 0, &[0; 32])], &goal).unwrap();
    let edited = plan.steps.iter().map(|step| &step.edit).find(|edit| {
        matches!(edit, Edit::PutFile { content: Content::Edited { .. }, path, .. } if path == "/etc/fstab")
    });
    let other = tree(&fs.clone().file("/etc/fstab", "# another\n"));
    let refused = apply::write(&mut fs, "p1", "/", &[edited.unwrap()], &other, 1);
    assert!(matches!(refused, Err(guestfix::Error::OtherImage { .. })));
}
