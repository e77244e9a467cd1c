//! A pull as a user breaks it: stopped, short of room, started twice, with the wrong credentials, clock or
//! name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use standin::{Call, Fault, Faults, Snapshot};
use testimages::judge;

use crate::cloud::{Cloud, ID, NEWER, noise};
use crate::program::{Refloat, command};

const BLOCKS: u64 = 300;

/// A snapshot whose blocks come slowly: some 360 in a second.
fn slow() -> Cloud {
    let cloud = Cloud::new(vec![Snapshot::from_bytes(ID, noise(1, BLOCKS))], vec![]);
    cloud.server.set_faults(Faults::default().latency(Duration::from_millis(200)));
    cloud
}

/// Starts a pull and waits until `log` tells of a piece of it.
fn pulling(cloud: &Cloud, line: &str, log: &str) -> Child {
    let mut command = cloud.command(line);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while fs::metadata(cloud.path().join(log)).map_or(0, |log| log.len()) < 80 {
        assert!(Instant::now() < until, "nothing is recorded");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[track_caller]
fn contains(said: &str, pieces: &[&str]) {
    for piece in pieces {
        assert!(said.contains(piece), "{piece} is not in {said}");
    }
}

#[test]
fn a_pull_told_to_stop_goes_on() {
    let cloud = slow();
    let line = "convert ebs:S disk.vhd --ebs-requests-per-second 100";
    let child = pulling(&cloud, line, "disk.vhd.transfer");
    judge::run(judge::tool("kill").args(["-INT", &child.id().to_string()]));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    contains(&String::from_utf8_lossy(&output.stderr), &["stopped; run the same command to resume"]);
    let log = fs::metadata(cloud.path().join("disk.vhd.transfer")).unwrap().len();
    cloud.server.reset_counts();
    cloud.refloat("convert ebs:S disk.vhd", 0);
    let recorded = log / 40 - 1;
    assert!(cloud.server.counts().get <= BLOCKS - recorded, "{recorded} were there");
}

/// A pull into a qcow2 cannot be resumed, and that is said before the work.
#[test]
fn a_qcow2_starts_again_and_says_so() {
    let cloud = slow();
    let line = "convert ebs:S disk.qcow2 --ebs-requests-per-second 50";
    let child = cloud.command(line).stderr(Stdio::piped()).spawn().unwrap();
    while cloud.server.counts().get < 20 {
        std::thread::sleep(Duration::from_millis(5));
    }
    judge::run(judge::tool("kill").args(["-INT", &child.id().to_string()]));
    let output = child.wait_with_output().unwrap();
    // Nothing is gone on with: an error, and not an interruption that the same command resumes.
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    contains(&said, &["a qcow2 pull cannot be resumed", "stopped; run the same command to start over"]);
    assert!(!cloud.path().join("disk.qcow2").exists());
    // So does one that was killed, and neither is in the way.
    let mut child = cloud.command(line).spawn().unwrap();
    while !cloud.path().join("disk.qcow2.partial").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!cloud.path().join("disk.qcow2").exists());
    // One answer after the other would take a minute.
    cloud.forget();
    let start = Instant::now();
    cloud.refloat("convert ebs:S disk.qcow2", 0);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert!(!cloud.path().join("disk.qcow2.partial").exists());
    assert!(cloud.server.counts().blocks[ID].values().all(|times| *times == 1));
    cloud.server.set_faults(Faults::default());
    cloud.refloat("convert ebs:S disk.raw", 0);
    judge::qemu_img_compare(
        (&cloud.path().join("disk.qcow2"), "qcow2"),
        (&cloud.path().join("disk.raw"), "raw"),
    );
}

#[test]
fn two_pulls_into_one_file_do_not_meet() {
    let cloud = slow();
    let mut first =
        pulling(&cloud, "convert ebs:S disk.raw --ebs-requests-per-second 100", "disk.raw.transfer");
    let said = cloud.said("convert ebs:S disk.raw", 3);
    contains(&said, &["disk.raw", "another process is writing it", "help: wait until it has ended"]);
    assert!(first.wait().unwrap().success());
    cloud.refloat("convert ebs:S other.raw", 0);
    assert!(crate::cloud::same(&cloud.path().join("disk.raw"), &cloud.path().join("other.raw")));
}

/// A small file system, until it is dropped.
struct Small(PathBuf);

impl Small {
    fn mount(point: PathBuf, mib: u32) -> Self {
        fs::create_dir(&point).unwrap();
        judge::run(
            judge::tool("mount").args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "none"]).arg(&point),
        );
        Self(point)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        judge::run(judge::tool("umount").arg(&self.0));
    }
}

#[test]
fn a_disk_that_is_full_can_be_mended() {
    if !judge::need_kernel_mounts() {
        return;
    }
    let cloud = Cloud::new(vec![Snapshot::from_bytes(ID, noise(1, 100))], vec![]);
    let small = Small::mount(cloud.path().join("small"), 24);
    for output in ["small/disk.raw", "small/disk.vhd"] {
        let said = cloud.said(&format!("convert ebs:S {output}"), 3);
        contains(
            &said,
            &[output, "No space left on device", "help: make room beside", "run the same command to resume"],
        );
        assert!(!cloud.path().join(output).exists());
        if output.ends_with("raw") {
            let had = cloud.server.counts().get;
            let size = "remount,size=80m";
            judge::run(judge::tool("mount").args(["-o", size]).arg(&small.0));
            cloud.refloat(&format!("convert ebs:S {output}"), 0);
            assert!(cloud.server.counts().get < had + 100, "what was recorded is fetched again");
            cloud.refloat("convert ebs:S whole.raw", 0);
            assert!(crate::cloud::same(&cloud.path().join(output), &cloud.path().join("whole.raw")));
        }
    }
    // Here the same command would start again.
    let said = cloud.said("convert ebs:S small/disk.qcow2", 2);
    contains(&said, &["small/disk.qcow2", "No space left on device", "help: make room there"]);
}

#[test]
fn who_asks_wrongly_is_told_what_and_what_next() {
    let cloud = Cloud::new(vec![Snapshot::from_bytes(ID, noise(1, 60))], vec![]);
    let of = |line: &str, exit: i32, change: &dyn Fn(&mut Refloat)| {
        let mut command = cloud.command(line);
        change(
            command.env_remove("AWS_REGION").env_remove("AWS_DEFAULT_REGION").env("HOME", "/proc/nowhere"),
        );
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{line}: {said}");
        said
    };
    let said = of(&format!("inspect ebs:{ID}"), 2, &|_| {});
    contains(&said, &["no region is set", "help: name the region"]);
    let said = of("inspect ebs:S", 2, &|command| {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    });
    contains(&said, &[ID, "the credentials do not work: there are none", "help: set AWS_PROFILE"]);
    let said = of(&format!("inspect ebs:{NEWER}@eu-west-1"), 2, &|_| {});
    contains(&said, &[NEWER, "SNAPSHOT_NOT_FOUND", "help: check that it is in this region"]);
    let said = of("inspect ebs:S --ebs-patience 1", 3, &|command| {
        command.env("AWS_ENDPOINT_URL", "https://ebs.no-such-region.invalid");
    });
    contains(&said, &[ID, "no answer", "help: check that the network and the region"]);

    // The clock; then, in the midst of a pull, a token that expires and a quota that is used up: the same
    // command goes on.
    cloud.server.set_faults(Faults::default().at(Call::List, 0..9, Fault::ClockSkew));
    let said = of("inspect ebs:S", 2, &|_| {});
    contains(&said, &["the clocks differ", "Signature expired", "help: set this machine's clock"]);
    for (fault, pieces) in [
        (Fault::ExpiredCredentials, ["ExpiredTokenException", "help: set AWS_PROFILE, or log in again"]),
        (Fault::ClockSkew, ["the clocks differ", "help: set this machine's clock"]),
        (Fault::QuotaExceeded, ["a quota is used up", "help: raise the quota"]),
    ] {
        cloud.server.set_faults(Faults::default().at(Call::Get, 20..100_000, fault));
        let output = format!("{fault:?}.raw");
        let said = of(&format!("convert ebs:S {output}"), 3, &|_| {});
        contains(&said, &pieces);
        assert!(said.contains(": block "), "{said}");
        cloud.server.set_faults(Faults::default());
        cloud.refloat(&format!("convert ebs:S {output}"), 0);
        drop(fs::remove_dir_all(cloud.path().join("cache")));
    }
}

/// Even by SIGKILL, which leaves the program no time to end anything itself.
#[test]
fn a_boot_that_is_killed_leaves_no_machine() {
    if !judge::need_all(&["setpriv"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("disk.raw"), noise(1, 4)).unwrap();
    // It answers as QEMU does, and its machine says one word.
    let pid = folder.path().join("pid");
    let machine = format!("echo $$ > {}; echo SeaBIOS; exec sleep 100", pid.display());
    let script = format!("#!/bin/sh\ncase \"$*\" in *help*) exit 0;; esac\n{machine}\n");
    let qemu = folder.path().join("qemu");
    fs::write(&qemu, script).unwrap();
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
    for signal in ["-INT", "-TERM", "-HUP", "-KILL"] {
        let mut boot = command(folder.path(), "boot disk.raw --for azure-gen1 --qemu ./qemu");
        let mut child = boot.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        let wait = |what: &str, done: &dyn Fn() -> bool| {
            while !done() {
                assert!(Instant::now() < until, "{signal}: {what}");
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        wait("the machine does not start", &|| fs::read_to_string(&pid).is_ok_and(|pid| pid.ends_with('\n')));
        let machine = Path::new("/proc").join(fs::read_to_string(&pid).unwrap().trim());
        assert!(machine.exists());
        judge::run(judge::tool("kill").args([signal, &child.id().to_string()]));
        child.wait().unwrap();
        wait("the machine still runs", &|| !machine.exists());
        fs::remove_file(&pid).unwrap();
    }
}
