//! Where Azure Migrate's own preparation of guests goes wrong, and ours must not: each known defect of
//! Azure/AzMigrate-Hydration 4337598c, `prepare-os-for-azure.sh`, is a test.
//!
//! That it leaves new files without labels of SELinux is the business of `tests/labels.rs`.

use super::linux::agents::{aws_mirrors, aws_registration, aws_repositories};
use super::linux::boot::{grub_initrdless, grub_root_device, grub_serial_console, grub_stale_arguments};
use super::linux::kernel::{initramfs_drop_in, initramfs_hyperv, kernel_hyperv};
use super::linux::mounts::lvm_filters;
use super::linux::network;
use super::testing::{Bench, ROOT_UUID, empty_initramfs, grub_cfg};

const GRUB_CFG: &str = "/boot/grub/grub.cfg";
const DEFAULTS: &str = "/etc/default/grub";

/// It takes Hyper-V's drivers for built in on Debian and Ubuntu, and never looks into an initramfs.
#[test]
fn hyperv_drivers_are_not_taken_for_built_in() {
    let bench = Bench::debian()
        .file("/boot/initrd.img-6.1.0-50-amd64", empty_initramfs())
        .file("/lib/modules/6.1.0-50-amd64/kernel/drivers/hv/hv_vmbus.ko", "")
        .file("/lib/modules/6.1.0-50-amd64/kernel/drivers/scsi/hv_storvsc.ko", "")
        .file("/etc/initramfs-tools/initramfs.conf", "MODULES=dep\n");
    let found = bench.findings(&initramfs_hyperv::RULE);
    assert!(found.iter().any(|line| line.contains("hv_storvsc")), "{found:?}");
    assert_eq!(bench.findings(&initramfs_drop_in::RULE).len(), 1);
}

/// It adds rootdelay=300 to both command lines of `/etc/default/grub`: five minutes at every boot.
#[test]
fn rootdelay_is_taken_away_and_never_added() {
    let root = format!("UUID={ROOT_UUID}");
    let bench = Bench::debian().file(GRUB_CFG, grub_cfg(&root, "rootdelay=300 console=hvc0")).file(
        DEFAULTS,
        "GRUB_CMDLINE_LINUX=\"rootdelay=300\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"rootdelay=300\"\n",
    );
    for file in [GRUB_CFG, DEFAULTS] {
        let text = bench.mended_text(&grub_stale_arguments::RULE, file);
        assert!(!text.contains("rootdelay"), "{text}");
    }
    let text = bench.mended_text(&grub_serial_console::RULE, GRUB_CFG);
    assert_eq!(text.matches("rootdelay").count(), 2, "as many as there were");
}

/// It changes `root=` only in lines of grub.cfg that begin with "linux" and name a device of the running
/// machine.
#[test]
fn the_root_is_mended_in_every_entry_and_in_the_defaults() {
    let bench = Bench::debian()
        .file(GRUB_CFG, grub_cfg("/dev/nvme0n1p1", ""))
        .file(DEFAULTS, "GRUB_CMDLINE_LINUX=\"root=/dev/xvda1\"\n");
    for file in [GRUB_CFG, DEFAULTS] {
        let text = bench.mended_text(&grub_root_device::RULE, file);
        assert!(text.contains(&format!("root=UUID={ROOT_UUID}")) && !text.contains("root=/dev"), "{text}");
    }
}

/// It writes a netplan file of its own and leaves the old ones, of which one that is matched by address still
/// counts.
#[test]
fn old_netplan_files_are_moved_aside() {
    let old = "/etc/netplan/50-cloud-init.yaml";
    let text = "network:\n  version: 2\n  ethernets:\n    ens5:\n      match:\n        macaddress: 0a:1b:2c:3d:4e:5f\n      set-name: ens5\n      dhcp4: true\n";
    let netplan = Bench::without_network().manager("netplan");
    netplan.file(old, text).mended(&network::RULE, |view| {
        assert!(!view.exists(old).unwrap());
        assert_eq!(view.glob("/etc/netplan", ".yaml").unwrap(), ["/etc/netplan/90-azure.yaml"]);
        assert_eq!(view.text("/etc/netplan/50-cloud-init.yaml.pre-azure").unwrap().as_deref(), Some(text));
    });
}

/// It knows `archive.ubuntu.com` and `xx.archive.ubuntu.com`, but not the archives inside AWS.
#[test]
fn the_archives_of_ec2_are_replaced() {
    let list = "/etc/apt/sources.list";
    let text = Bench::debian()
        .file(list, "deb http://eu-west-1.ec2.archive.ubuntu.com/ubuntu jammy main\n")
        .mended_text(&aws_mirrors::RULE, list);
    assert_eq!(text, "deb http://azure.archive.ubuntu.com/ubuntu jammy main\n");
}

/// It leaves `resume=`, by a note of its own authors.
#[test]
fn a_resume_device_of_ec2_is_removed() {
    let root = format!("UUID={ROOT_UUID}");
    let bench = Bench::debian().file(GRUB_CFG, grub_cfg(&root, "resume=/dev/nvme0n1p3 nosmt"));
    assert_eq!(bench.mended_text(&grub_stale_arguments::RULE, GRUB_CFG), grub_cfg(&root, "nosmt"));
}

/// It does not know that Ubuntu's images for EC2 boot without their initramfs first.
#[test]
fn a_boot_without_initramfs_is_found() {
    let entry = "menuentry 'Ubuntu' {\nif [ \"${initrdfail}\" = 1 ]; then\nlinux /vmlinuz ro\ninitrd /initrd\nelse\nlinux /vmlinuz ro panic=-1\nfi\ninitrdfail\n}\n";
    assert_eq!(Bench::debian().file(GRUB_CFG, entry).findings(&grub_initrdless::RULE).len(), 1);
}

/// It makes the password lines of GRUB comments, without a word.
#[test]
fn passwords_of_the_boot_menu_stay() {
    let cfg = format!(
        "set superusers=\"admin\"\npassword_pbkdf2 admin grub.pbkdf2.x\n{}",
        grub_cfg("/dev/xvda1", "")
    );
    let text = Bench::debian().file(GRUB_CFG, cfg).mended_text(&grub_root_device::RULE, GRUB_CFG);
    assert!(text.starts_with("set superusers=\"admin\"\npassword_pbkdf2 admin grub.pbkdf2.x\n"), "{text}");
}

/// Its check of the kernel's modules does not run, for an error of syntax, and what it reports is a constant.
#[test]
fn a_kernel_without_drivers_is_found() {
    let bench = Bench::debian()
        .file("/lib/modules/6.1.0-50-amd64/modules.dep", "kernel/drivers/nvme/host/nvme.ko:\n");
    let found = bench.findings(&kernel_hyperv::RULE);
    assert!(found.len() == 1 && found[0].ends_with("is built without hv_vmbus and hv_storvsc"), "{found:?}");
    assert_eq!(Bench::debian().findings(&kernel_hyperv::RULE), [""; 0]);
}

const ENTRY: &str = "/boot/loader/entries/m-6.1.0-50-amd64.conf";
const GRUBENV: &str = "/boot/grub2/grubenv";
const KERNEL_CMDLINE: &str = "/etc/kernel/cmdline";

/// A Red Hat 8 with this command line in all four places, and one entry that has it from grubenv.
fn red_hat_8(cmdline: &str) -> Bench {
    let mut block = format!("# GRUB Environment Block\nsaved_entry=m-6.1.0-50-amd64\nkernelopts={cmdline}\n")
        .into_bytes();
    block.resize(1024, b'#');
    Bench::debian()
        .without(GRUB_CFG)
        .file(GRUBENV, block)
        .file("/boot/grub2/grub.cfg", "set default=\"${saved_entry}\"\nterminal_output serial\nblscfg\n")
        .file(ENTRY, "title x\nlinux /vmlinuz-6.1.0-50-amd64\noptions $kernelopts $tuned_params\n")
        .file(
            "/boot/loader/entries/m-0-rescue.conf",
            format!("linux /vmlinuz-6.1.0-50-amd64\noptions {cmdline}\n"),
        )
        .file(KERNEL_CMDLINE, format!("{cmdline}\n"))
        .file(DEFAULTS, format!("GRUB_CMDLINE_LINUX=\"{cmdline}\"\n"))
}

/// It knows nothing of the Boot Loader Specification: only lines of grub.cfg are changed, where Red Hat 8 and
/// 9 have no entries.
#[test]
fn entries_of_the_boot_loader_specification_are_mended_wherever_they_take_their_command_line_from() {
    let bench = red_hat_8("root=/dev/xvda1 ro rootdelay=300 console=hvc0");
    let places = [GRUBENV, "/boot/loader/entries/m-0-rescue.conf", KERNEL_CMDLINE, DEFAULTS];
    let rules: [&crate::Rule; 3] =
        [&grub_root_device::RULE, &grub_stale_arguments::RULE, &grub_serial_console::RULE];
    for rule in rules {
        bench.mended(rule, |view| {
            for place in places {
                let (old, new) = (bench.text(place), view.text(place).unwrap().unwrap());
                assert_ne!(old, new, "{}: {place}", rule.meta.id);
            }
            assert_eq!(view.read(GRUBENV).unwrap().unwrap().len(), 1024);
            assert_eq!(view.text(ENTRY).unwrap().unwrap(), bench.text(ENTRY));
        });
    }
    let text = bench.mended_text(&grub_root_device::RULE, GRUBENV);
    assert!(
        text.contains(&format!("kernelopts=root=UUID={ROOT_UUID} ro rootdelay=300 console=hvc0\n")),
        "{text}"
    );
}

/// Its variable for the boot loader's script on the EFI partition is misspelt: that script is never changed.
#[test]
fn a_script_on_the_efi_partition_is_mended_and_a_stub_left_alone() {
    let own = "/boot/efi/EFI/redhat/grub.cfg";
    let script = Bench::debian().without(GRUB_CFG).file(own, grub_cfg("/dev/xvda1", ""));
    assert_eq!(script.mended_text(&grub_root_device::RULE, own), grub_cfg(&format!("UUID={ROOT_UUID}"), ""));
    let stub = "search --fs-uuid --set=dev x\nset prefix=($dev)/grub2\nexport $prefix\nconfigfile $prefix/grub.cfg\n";
    let bench = red_hat_8("root=/dev/xvda1").file(own, stub);
    assert_eq!(bench.mended_text(&grub_root_device::RULE, own), stub);
}

/// Its test for lvm.conf is the wrong way round: filters are never widened.
#[test]
fn filters_of_lvm_are_widened() {
    let conf = "/etc/lvm/lvm.conf";
    let bench = Bench::debian().file(conf, "devices {\n  filter = [ \"a|/dev/xvd.*|\", \"r|.*|\" ]\n}\n");
    let text = bench.mended_text(&lvm_filters::RULE, conf);
    assert!(text.contains("[ \"a|^/dev/sd|\", \"a|^/dev/nvme|\", \"a|/dev/xvd.*|\", \"r|.*|\" ]"), "{text}");
}

/// It removes NetworkManager, and enables a service "network" that Red Hat 8 and 9 do not have.
#[test]
fn network_manager_stays_and_its_profile_fits_any_card() {
    let profile = "/etc/NetworkManager/system-connections/ens5.nmconnection";
    let manager = "/etc/systemd/system/multi-user.target.wants/NetworkManager.service";
    Bench::without_network()
        .manager("NetworkManager")
        .secret(profile, "[connection]\ntype=ethernet\ninterface-name=ens5\n[ethernet]\nmac-address=0A:FF\n")
        .mended(&network::LEFTOVERS, |view| {
            assert!(view.lstat(manager).unwrap().is_some());
            assert_eq!(view.list("/etc/systemd/system/multi-user.target.wants").unwrap().len(), 1);
            let text = view.text(profile).unwrap().unwrap();
            assert!(
                !text.lines().any(|line| line.starts_with("interface-name") || line.starts_with("mac-")),
                "{text}"
            );
        });
}

/// It puts lists of repositories of its own in place of the guest's, those of version 6 on Oracle Linux 7.
#[test]
fn repositories_stay_and_those_inside_aws_are_disabled() {
    let (path, address) =
        ("/etc/yum.repos.d/rhui.repo", "mirrorlist=https://rhui.REGION.aws.ce.redhat.com/x");
    let bench = Bench::debian().file(path, format!("[x]\n{address}\nenabled=1\n"));
    assert_eq!(bench.mended_text(&aws_repositories::RULE, path), format!("[x]\n{address}\nenabled=0\n"));
    assert!(bench.by_hand(&aws_registration::RULE).contains("rhui client"));
}
