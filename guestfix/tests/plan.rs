//! Staging, planning and applying, with toy rules over trees in memory.

use std::collections::BTreeMap;

use guestfix::device::Part;
use guestfix::edit::{Before, Content, Edit, Step};
use guestfix::facts::{Lvm, Machine, SignatureKind, TableKind, Volume};
use guestfix::plan::{Check, Identity, Plan, Verdict, check_with, plan_with};
use guestfix::platform::azure;
use guestfix::rule::{Applies, Evidence, Pack, Source};
use guestfix::tree::Tree;
use guestfix::{
    Device, Error, Finding, Fixed, Goal, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View, apply,
};
use libdisk::vfs::{FileSystem, MemoryFs};

type Detect = fn(&Guest<'_>) -> Result<Finding>;
type Fix = fn(&mut Stage<'_>) -> Result<Fixed>;

const SOURCE: &[Source] = &[Source::new("a toy", "", "2026")];

fn toy(id: &'static str, phase: Phase, detect: Detect, fix: Fix) -> Rule {
    let meta = RuleMeta {
        id,
        title: "a toy",
        pack: Pack::Linux,
        phase,
        severity: Severity::Blocker,
        cause: "a toy",
        fix: "a toy",
        source: SOURCE,
        applies: Applies::ALWAYS,
    };
    Rule { meta, detect, fix: Some(fix) }
}

/// A fault while `bad` holds.
fn wrong_if(bad: bool) -> Result<Finding> {
    let evidence = if bad { vec![Evidence::new("/here", "is wrong")] } else { Vec::new() };
    Ok(Finding::from_evidence(evidence))
}

fn machine() -> Machine {
    let volume = |number: u32, point: &str| Volume {
        name: format!("p{number}"),
        number,
        device: Device::Range(Part { disk: 0, range: u64::from(number) << 20..u64::from(number + 1) << 20 }),
        kind: Some(SignatureKind::Ext4),
        uuid: None,
        label: None,
        partuuid: None,
        partlabel: None,
        type_name: None,
        mounted_at: Some(point.into()),
        unreadable: None,
        needs_recovery: false,
        unrecoverable: None,
        read_only: None,
        free: Some(1 << 20),
        free_nodes: Some(100),
    };
    let volumes = vec![volume(1, "/"), volume(2, "/boot")];
    Machine {
        size: 4 << 20,
        table: TableKind::Gpt,
        remote: false,
        table_faults: vec![],
        data_disks: vec![],
        bios: vec![],
        uefi: vec![],
        volumes,
        lvm: Lvm::default(),
    }
}

fn root() -> MemoryFs {
    MemoryFs::new()
        .file("/usr/lib/os-release", "ID=debian\nVERSION_ID=12\n")
        .symlink("/etc/os-release", "../usr/lib/os-release")
        .symlink("/lib", "usr/lib")
        .file("/etc/fstab", "/dev/xvda1 / ext4 defaults 0 1\n")
        .file("/etc/hosts", "127.0.0.1 localhost\n")
        .mode("/etc/hosts", 0o600, 7, 8)
        .symlink("/etc/resolv.conf", "../run/resolv.conf")
        .dir("/run")
        .file("/srv/a", "shared")
        .hard_link("/srv/b", "/srv/a")
        .dir("/boot")
}

fn boot() -> MemoryFs {
    MemoryFs::new().file("/vmlinuz", [0, 1, 2]).file("/grub/grub.cfg", "menu\n")
}

fn tree(root: &MemoryFs, boot: &MemoryFs) -> Tree {
    let (root, boot): (Box<dyn FileSystem>, Box<dyn FileSystem>) =
        (Box::new(root.clone()), Box::new(boot.clone()));
    Tree::from_filesystems(vec![("/".into(), root), ("/boot".into(), boot)], machine())
}

fn goal() -> Goal {
    Goal::new(&azure::GEN2)
}

fn identity() -> Identity {
    Identity { path: "disk.img".into(), size: 4 << 20, sha256: "00".repeat(32), device: None }
}

fn plan_of(view: &dyn View, rules: &[&Rule]) -> Result<Plan> {
    plan_with(rules, view, &[identity()], &goal())
}

fn check_of(view: &dyn View, rules: &[&Rule]) -> Result<Check> {
    check_with(rules, view, &goal())
}

/// The steps of one fix on the tree above; every such fix ends with [`done`], whose own step is left out.
fn steps_of(fix: Fix) -> Vec<Step> {
    let rule = toy("toy", Phase::Boot, |guest| wrong_if(guest.view.lstat("/done")?.is_none()), fix);
    let plan = plan_of(&tree(&root(), &boot()), &[&rule]).unwrap();
    let is_mark = |step: &Step| matches!(&step.edit, Edit::PutFile { path, .. } if path == "/done");
    plan.steps.into_iter().filter(|step| !is_mark(step)).collect()
}

/// Satisfies the rule of [`steps_of`].
fn done(stage: &mut Stage<'_>) -> Result<Fixed> {
    stage.put("/done", "")?;
    Ok(Fixed::Staged)
}

fn put(step: &Step) -> (&str, &Before, &Content) {
    match &step.edit {
        Edit::PutFile { path, before, content, .. } => (path, before, content),
        other => panic!("{other:?} is no put"),
    }
}

#[test]
fn puts_go_where_links_lead() {
    let steps = steps_of(|stage| {
        stage.put("/lib/modules/x/y", "new")?;
        stage.put("/etc/resolv.conf", "nameserver")?;
        stage.put("/etc/../../etc/hosts", "changed")?;
        done(stage)
    });
    let paths: Vec<_> = steps.iter().map(|step| put(step).0).collect();
    assert_eq!(paths, ["/usr/lib/modules/x/y", "/run/resolv.conf", "/etc/hosts"]);
    assert_eq!(put(&steps[0]).1, &Before::Absent);
    assert!(matches!(put(&steps[2]).1, Before::File { size: 20, .. }));
    let Edit::PutFile { ownership, .. } = &steps[2].edit else { panic!() };
    assert_eq!((ownership.mode, ownership.uid, ownership.gid), (0o600, 7, 8));
}

#[test]
fn links_and_removals_do_not_follow_the_last_link() {
    let steps = steps_of(|stage| {
        stage.put_link("/etc/resolv.conf", "/new")?;
        stage.remove("/etc/os-release")?;
        stage.remove("/etc/none")?;
        done(stage)
    });
    assert_eq!(steps.len(), 2);
    assert!(matches!(&steps[0].edit, Edit::PutLink { path, before: Before::Link { target }, .. }
        if path == "/etc/resolv.conf" && target == "../run/resolv.conf"));
    assert!(
        matches!(&steps[1].edit, Edit::Remove { path, before: Before::Link { .. } } if path == "/etc/os-release")
    );
}

#[test]
fn the_staged_guest_shows_what_will_be() {
    steps_of(|stage| {
        stage.put("/new/dir/file", "text")?;
        stage.put_link("/alias", "new/dir")?;
        stage.remove("/etc/hosts")?;
        let view = stage.guest()?.view;
        assert_eq!(view.text("/alias/file")?.as_deref(), Some("text"));
        assert_eq!(view.resolve("/alias/file")?.as_deref(), Some("/new/dir/file"));
        assert_eq!(view.list("/new")?, ["dir"]);
        assert!(!view.exists("/etc/hosts")?);
        assert!(!view.list("/etc")?.contains(&"hosts".to_owned()));
        assert!(view.list("/")?.contains(&"alias".to_owned()));
        // A file through a link that was staged goes to where the link leads.
        stage.put("/alias/other", "x")?;
        assert!(stage.guest()?.view.exists("/new/dir/other")?);
        // A new file in the place of a link that was taken away.
        stage.remove("/lib")?;
        stage.put("/lib/os-release", "mine")?;
        let view = stage.guest()?.view;
        assert_eq!(view.text("/usr/lib/os-release")?.as_deref(), Some("ID=debian\nVERSION_ID=12\n"));
        assert_eq!(view.list("/lib")?, ["os-release"]);
        done(stage)
    });
}

#[test]
fn what_ends_as_it_began_is_no_step() {
    let steps = steps_of(|stage| {
        stage.put("/etc/hosts", "changed")?;
        stage.put("/etc/hosts", "127.0.0.1 localhost\n")?;
        stage.put("/tmp/x", "new")?;
        stage.remove("/tmp/x")?;
        stage.remove("/lib")?;
        stage.put_link("/lib", "usr/lib")?;
        assert!(!stage.edit("/etc/fstab", |text| text.to_owned())?);
        assert!(!stage.edit("/etc/none", |text| format!("{text}x"))?);
        done(stage)
    });
    assert_eq!(steps, []);
}

#[test]
fn an_original_is_kept_once_and_by_reference() {
    let steps = steps_of(|stage| {
        stage.put("/boot/vmlinuz", "changed")?;
        stage.keep("/boot/vmlinuz", "/boot/vmlinuz.orig")?;
        stage.keep("/boot/vmlinuz", "/boot/grub/grub.cfg")?;
        stage.keep("/boot/none", "/boot/none.orig")?;
        done(stage)
    });
    assert_eq!(steps.len(), 2);
    assert_eq!(
        put(&steps[1]),
        ("/boot/vmlinuz.orig", &Before::Absent, &Content::CopyOf("/boot/vmlinuz".into()))
    );
}

#[test]
fn rules_that_change_one_file_share_a_step() {
    let first = toy(
        "first",
        Phase::Mounts,
        |guest| wrong_if(!guest.view.text("/etc/fstab")?.unwrap_or_default().contains("one")),
        |stage| stage.edit("/etc/fstab", |text| format!("{text}# one\n")).map(|_| Fixed::Staged),
    );
    let second = toy(
        "second",
        Phase::Network,
        |guest| wrong_if(!guest.view.text("/etc/fstab")?.unwrap_or_default().contains("two")),
        |stage| stage.edit("/etc/fstab", |text| format!("{text}# two\n")).map(|_| Fixed::Staged),
    );
    let view = tree(&root(), &boot());
    // The table's order does not matter where phases differ.
    let plan = plan_of(&view, &[&second, &first]).unwrap();
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(plan.steps[0].rules, ["first", "second"]);
    let text = "/dev/xvda1 / ext4 defaults 0 1\n# one\n# two\n";
    assert_eq!(put(&plan.steps[0]).2, &Content::Text(text.into()));
    let diff = plan.diff(&view).unwrap().to_string();
    assert!(diff.contains("--- a/etc/fstab\n+++ b/etc/fstab\n") && diff.contains("\n+# two\n"), "{diff}");

    // Data that survives its own file, and the same data from the same guest.
    let json = plan.to_json().unwrap();
    assert_eq!(Plan::from_json(&json).unwrap(), plan);
    assert_eq!(plan_of(&view, &[&second, &first]).unwrap().to_json().unwrap(), json);
    assert!(Plan::from_json(&json.replace("refloat.plan/3", "refloat.plan/2")).is_err());
}

#[test]
fn immutable_files_are_left_to_the_user_and_nothing_half_done_stays() {
    let root = root().immutable("/etc/fstab");
    let rule = toy(
        "toy",
        Phase::Mounts,
        |_| wrong_if(true),
        |stage| {
            stage.put("/etc/hosts", "half done")?;
            stage.put("/etc/fstab", "")?;
            Ok(Fixed::Staged)
        },
    );
    let plan = plan_of(&tree(&root, &boot()), &[&rule]).unwrap();
    assert!(plan.is_empty() && !plan.ready());
    assert!(plan.by_hand[0].what.contains("immutable"), "{:?}", plan.by_hand);
}

#[test]
fn a_rule_that_does_not_satisfy_itself_or_breaks_another_is_an_error() {
    let view = tree(&root(), &boot());
    let lazy = toy("lazy", Phase::Boot, |_| wrong_if(true), |_| Ok(Fixed::Staged));
    assert!(matches!(plan_of(&view, &[&lazy]), Err(Error::Unsatisfied { rule: "lazy", .. })));

    let wants_hosts =
        toy("wants", Phase::Boot, |guest| wrong_if(!guest.view.exists("/etc/hosts")?), |_| unreachable!());
    let removes_hosts = toy(
        "removes",
        Phase::Network,
        |guest| wrong_if(guest.view.exists("/etc/hosts")?),
        |stage| stage.remove("/etc/hosts").map(|()| Fixed::Staged),
    );
    assert!(matches!(
        plan_of(&view, &[&wants_hosts, &removes_hosts]),
        Err(Error::Unsatisfied { rule: "wants", .. })
    ));
}

#[test]
fn one_file_that_cannot_be_read_does_not_hide_the_rest() {
    let malformed = toy(
        "malformed",
        Phase::Boot,
        |_| Err(Error::Malformed { path: "/boot/x".into(), what: "line 3 is odd".into() }),
        |_| unreachable!(),
    );
    let fine = toy("fine", Phase::Network, |_| Ok(Finding::Ok), |_| unreachable!());
    let check = check_of(&tree(&root(), &boot()), &[&malformed, &fine]).unwrap();
    assert!(!check.ready() && !check.fixable());
    assert_eq!(check.items[0].verdict, Verdict::Unknown);
    assert_eq!(check.items[0].unread, [Evidence::new("/boot/x", "line 3 is odd")]);
    assert_eq!(check.items[1].verdict, Verdict::Ok);
}

#[test]
fn new_files_get_the_label_of_their_neighbours() {
    let root = root().xattr("/etc/hosts", "security.selinux", "net_conf_t").xattr(
        "/run",
        "security.selinux",
        "run_t",
    );
    let rule = toy(
        "toy",
        Phase::Boot,
        |guest| wrong_if(!guest.view.exists("/etc/new")?),
        |stage| {
            stage.put("/etc/new", "")?;
            stage.put("/run/new/deep", "")?;
            Ok(Fixed::Staged)
        },
    );
    let plan = plan_of(&tree(&root, &boot()), &[&rule]).unwrap();
    let labels = plan.steps.iter().flat_map(|step| match &step.edit {
        Edit::PutFile { ownership, .. } => {
            ownership.xattrs.iter().map(|(name, value)| format!("{name} {value}"))
        }
        other => panic!("{other:?}"),
    });
    let labels: Vec<_> = labels.collect();
    // Base64 of the labels above.
    assert_eq!(labels, ["security.selinux bmV0X2NvbmZfdA==", "security.selinux cnVuX3Q="]);
}

#[test]
fn too_little_room_is_found_before_anything_is_written() {
    let rule = toy(
        "toy",
        Phase::Boot,
        |guest| wrong_if(!guest.view.exists("/boot/big")?),
        |stage| {
            stage.put("/boot/big", "x".repeat(2 << 20))?;
            Ok(Fixed::Staged)
        },
    );
    let view = tree(&root(), &boot());
    let Err(Error::Refused(text)) = plan_of(&view, &[&rule]) else { panic!() };
    assert!(text.starts_with("/boot (p2) has 1048576 bytes free"), "{text}");
    let check = check_of(&view, &[&rule]).unwrap();
    assert_eq!(check.shortages.len(), 1);
    assert!(!check.fixable());
}

/// Every path with what it is, content and attributes included.
fn snapshot(tree: &Tree) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    tree.walk(&mut |path, metadata| {
        let path = String::from_utf8(path.to_vec()).unwrap();
        let mut content = Vec::new();
        if tree.link_target(path.as_bytes())?.is_none() {
            tree.copy_to(path.as_bytes(), &mut content)?;
        }
        let link = tree.link_target(path.as_bytes())?;
        let (mode, owner) = (metadata.mode, (metadata.uid, metadata.gid));
        let line = format!(
            "{:?} {mode:o} {owner:?} {link:?} {content:?} {:?}",
            metadata.file_type,
            tree.xattrs(&path)?
        );
        all.insert(path, line);
        Ok(())
    })
    .unwrap();
    all
}

#[test]
fn applying_changes_what_the_plan_says_and_nothing_else_and_a_second_plan_is_empty() {
    let rule = toy(
        "toy",
        Phase::Boot,
        |guest| wrong_if(!guest.view.exists("/new/dir/file")?),
        |stage| {
            stage.put("/new/dir/file", "text")?;
            stage.put("/etc/hosts", "changed")?;
            stage.put("/srv/a", "mine alone")?;
            stage.put_link("/etc/resolv.conf", "/new")?;
            stage.remove("/etc/fstab")?;
            stage.keep("/boot/vmlinuz", "/boot/vmlinuz.orig")?;
            stage.put_binary("/boot/vmlinuz", vec![0xFF; 9], vec!["a new kernel".into()])?;
            Ok(Fixed::Staged)
        },
    );
    let (mut root, mut boot) = (root(), boot());
    let before = tree(&root, &boot);
    let plan = plan_of(&before, &[&rule]).unwrap();
    let edits = |of_boot: bool| {
        let path_of = |edit: &Edit| match edit {
            Edit::PutFile { path, .. } | Edit::PutLink { path, .. } | Edit::Remove { path, .. } => {
                path.clone()
            }
            other => panic!("{other:?}"),
        };
        let edits = plan.steps.iter().map(|step| &step.edit);
        edits.filter(|edit| path_of(edit).starts_with("/boot/") == of_boot).collect::<Vec<_>>()
    };
    apply::write(&mut root, "p1", "/", &edits(false), &before, plan.time).unwrap();
    apply::write(&mut boot, "p2", "/boot", &edits(true), &before, plan.time).unwrap();
    let after = tree(&root, &boot);
    apply::verify_with(&[&rule], &after, &plan).unwrap();

    let (old, new) = (snapshot(&before), snapshot(&after));
    let mut changed: Vec<_> =
        new.iter().filter(|(path, line)| old.get(*path) != Some(line)).map(|(path, _)| path).collect();
    changed.extend(old.keys().filter(|path| !new.contains_key(*path)));
    let expected = [
        "/boot/vmlinuz",
        "/boot/vmlinuz.orig",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/new",
        "/new/dir",
        "/new/dir/file",
        "/srv/a",
        "/etc/fstab",
    ];
    assert_eq!(changed, expected);
    // The other name of a hard-linked file keeps the old content; owner and mode stay.
    assert!(new["/etc/hosts"].contains("600 (7, 8)"), "{}", new["/etc/hosts"]);

    assert!(plan_of(&after, &[&rule]).unwrap().is_empty());
}

#[test]
fn new_links_and_directories_get_the_label_of_the_policy() {
    let contexts = "/etc/.* u:r:etc_t:s0\n/etc/new -d u:r:new_t:s0\n/etc/new/l -l u:r:link_t:s0\n";
    let labelled = root().file("/etc/selinux/targeted/contexts/files/file_contexts", contexts).xattr(
        "/etc",
        "security.selinux",
        "etc_t",
    );
    let rule = toy(
        "toy",
        Phase::Boot,
        |guest| wrong_if(guest.view.lstat("/etc/new/l")?.is_none()),
        |stage| {
            stage.put_link("/etc/new/l", "/dev/null")?;
            Ok(Fixed::Staged)
        },
    );
    let before = tree(&labelled, &boot());
    let plan = plan_of(&before, &[&rule]).unwrap();
    let edits: Vec<_> = plan.steps.iter().map(|step| &step.edit).collect();
    let mut written = labelled.clone();
    apply::write(&mut written, "p1", "/", &edits, &before, plan.time).unwrap();
    for (path, label) in [("/etc/new", "u:r:new_t:s0\0"), ("/etc/new/l", "u:r:link_t:s0\0")] {
        let xattrs = written.xattrs(written.resolve(path).unwrap()).unwrap();
        assert_eq!(xattrs, [(b"security.selinux".to_vec(), label.as_bytes().to_vec())], "{path}");
    }
}

#[test]
fn files_of_a_volume_that_cannot_be_replayed_are_left_to_the_user() {
    let mut machine = machine();
    machine.volumes[1].needs_recovery = true;
    let filesystems: Vec<(String, Box<dyn FileSystem>)> =
        vec![("/".into(), Box::new(root())), ("/boot".into(), Box::new(boot()))];
    let tree = Tree::from_filesystems(filesystems, machine);
    let rule = toy(
        "toy",
        Phase::Boot,
        |guest| wrong_if(!guest.view.exists("/boot/new")?),
        |stage| {
            stage.put("/boot/new", "")?;
            Ok(Fixed::Staged)
        },
    );
    let plan = plan_of(&tree, &[&rule]).unwrap();
    assert!(plan.steps.is_empty() && !plan.ready());
    assert!(plan.by_hand[0].what.contains("p2, whose journal must be replayed first"), "{:?}", plan.by_hand);
}
