//! Blobs in Azure: written, killed and gone on with, read back, looked into. Azurite says whether it is right;
//! a stand-in counts and goes wrong.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use standin::{BlobFault, BlobServer, Snapshot};
use testimages::azurite::Azurite;
use testimages::{judge, length, synthetic};

use crate::cloud::{Cloud, ID, NEWER, noise, same};
use crate::program::{self, Refloat};

/// What a shared access signature is known by, in whatever is told.
const SECRET: &str = "sig=";

/// Azurite, and the folder that `refloat` runs in.
pub(crate) struct Azure {
    pub(crate) azurite: Azurite,
    folder: tempfile::TempDir,
}

impl Azure {
    pub(crate) fn start() -> Option<Self> {
        let azurite = Azurite::start()?;
        Some(Self { azurite, folder: tempfile::tempdir_in(testimages::cache::directory()).unwrap() })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `refloat LINE`, where `@NAME` stands for the address of a blob.
    fn command(&self, line: &str) -> Refloat {
        let line = line.replace('@', &format!("azure:{}", self.azurite.url("")));
        let mut command = program::command(self.folder.path(), &line);
        command
            .env("REFLOAT_AZURE_SAS", self.azurite.all())
            .env("REFLOAT_STATE", self.path("state"))
            .env("REFLOAT_CACHE", self.path("cache"));
        command
    }

    #[track_caller]
    fn refloat(&self, line: &str, exit: i32) -> Output {
        let output = self.command(line).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "refloat {line}\n{said}");
        output
    }

    #[track_caller]
    fn json(&self, line: &str, exit: i32) -> Value {
        serde_json::from_slice(&self.refloat(&format!("{line} --json"), exit).stdout).unwrap()
    }

    #[track_caller]
    fn said(&self, line: &str, exit: i32) -> String {
        String::from_utf8(self.refloat(line, exit).stderr).unwrap()
    }
}

/// A disk of `mib` MiB in pieces, as file systems leave it; gives how many bytes of it are in blocks of 4 KiB
/// that are not zero.
pub(crate) fn disk(path: &Path, seed: u64, mib: u64) -> u64 {
    let file = File::create(path).unwrap();
    file.set_len(mib << 20).unwrap();
    let (mut random, mut noise, mut at, mut data) = (fastrand::Rng::with_seed(seed), vec![0; 6 << 20], 0, 0);
    while at < mib << 20 {
        let len = if random.u8(0..4) == 0 { random.u64(1..16) << 12 } else { random.u64(256..1536) << 12 };
        let len = len.min((mib << 20) - at);
        random.fill(&mut noise[..len as usize]);
        file.write_all_at(&noise[..len as usize], at).unwrap();
        data += len;
        at += len + if random.bool() { random.u64(1..16) << 12 } else { random.u64(64..2048) << 12 };
    }
    data
}

#[test]
fn a_disk_is_sent_once_and_comes_back_as_the_file_would_be() {
    let Some(azure) = Azure::start() else { return };
    let data = disk(&azure.path("in.raw"), 1, 96);
    let sent = azure.json("convert raw:in.raw @disk.vhd --read-back all", 0);
    assert_eq!((&sent["format"], &sent["sent"]["would_have_shown"]), (&"vhd".into(), &1.0.into()));
    azure.refloat("convert raw:in.raw disk.vhd", 0);
    fs::write(azure.path("back.vhd"), azure.azurite.download("disk.vhd")).unwrap();
    assert!(same(&azure.path("back.vhd"), &azure.path("disk.vhd")));
    judge::qemu_img_compare((&azure.path("back.vhd"), "vpc"), (&azure.path("in.raw"), "raw"));
    // The footer is one more request.
    let of = |name: &str| sent["sent"][name].as_u64().unwrap();
    assert!(of("bytes") - 512 <= data * 102 / 100, "{sent} for {data}");
    // What is best for such a disk, and for others, is told beside the sink, in libdisk/src/page_blob/fragments.rs.
    assert!((of("requests") - 1) as f64 <= 1.55 * data.div_ceil(4 << 20) as f64, "{sent} for {data}");
    assert_eq!((of("pages") * 512, of("read_back")), (of("bytes"), of("pieces")));
    // The same again is there already; another source must be meant.
    assert_eq!(azure.json("convert raw:in.raw @disk.vhd", 0)["written"], 0);
    let verdict = azure.json("verify @disk.vhd raw:in.raw", 0);
    assert_eq!((&verdict["well_formed"], &verdict["same"]), (&true.into(), &true.into()));
    disk(&azure.path("other.raw"), 2, 40);
    let said = azure.said("convert raw:other.raw @disk.vhd", 2);
    assert!(said.contains("it already exists") && said.contains("--force"), "{said}");
    azure.refloat("convert raw:other.raw @disk.vhd --force", 0);
    azure.refloat("verify @disk.vhd raw:other.raw", 0);
    azure.azurite.upload_block_blob("text.vhd", b"text");
    let said = azure.said("convert raw:other.raw @text.vhd", 2);
    assert!(said.contains("BlockBlob") && said.contains("page blob"), "{said}");
}

#[test]
fn a_transfer_killed_again_and_again_goes_on() {
    let Some(azure) = Azure::start() else { return };
    let data = disk(&azure.path("in.raw"), 3, 160);
    let (mut random, kills) = (fastrand::Rng::with_seed(4), if length::long() { 50 } else { 4 });
    let line = "convert raw:in.raw @disk.vhd --quiet";
    let mut killed = 0;
    while killed < kills {
        let mut child = azure.command(line).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.u64(100..900)));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
    }
    let last = azure.json("convert raw:in.raw @disk.vhd --read-back all", 0);
    eprintln!("{killed} kills, then {} of {data} bytes", last["written"]);
    azure.refloat("convert raw:in.raw disk.vhd", 0);
    fs::write(azure.path("back.vhd"), azure.azurite.download("disk.vhd")).unwrap();
    assert!(same(&azure.path("back.vhd"), &azure.path("disk.vhd")));
}

#[test]
fn a_guest_in_a_blob_is_judged_as_it_is_here_by_a_few_reads() {
    let Some(azure) = Azure::start() else { return };
    let Some(guest) = synthetic::demo().copy_into(azure.folder.path()) else { return };
    fs::rename(guest, azure.path("guest.raw")).unwrap();
    azure.refloat("convert raw:guest.raw @guest.vhd", 0);
    azure.refloat("convert raw:guest.raw guest.vhd", 0);
    let there = azure.json("check @guest.vhd --for azure-gen1", 1);
    let here = azure.json("check guest.vhd --for azure-gen1", 1);
    for field in ["findings", "ready", "ready_after_fix", "boot"] {
        assert_eq!(there[field], here[field], "{field}");
    }
    let reads = there["blobs"]["reads"].as_u64().unwrap();
    eprintln!("check of a blob: {}", there["blobs"]);
    assert!(reads > 0 && reads <= 120, "{}", there["blobs"]);
    // What a check has read a plan does not read again.
    let again = azure.json("check @guest.vhd --for azure-gen1", 1);
    assert!(again["blobs"]["reads"].as_u64().unwrap() <= 2, "{}", again["blobs"]);
    azure.refloat("fs cat @guest.vhd#/etc/fstab", 0);
    // A mended copy, from blob to blob.
    azure.refloat("migrate @guest.vhd @fixed.vhd --for azure-gen1", 0);
    azure.refloat("migrate guest.vhd fixed.vhd --for azure-gen1", 0);
    azure.refloat("verify @fixed.vhd fixed.vhd", 0);
    azure.refloat("check @fixed.vhd --for azure-gen1", 0);
}

#[test]
fn signatures_reach_nothing() {
    let Some(azure) = Azure::start() else { return };
    disk(&azure.path("in.raw"), 5, 24);
    let (good, url) = (azure.azurite.all(), azure.azurite.url("disk.vhd"));
    let ended = azure.azurite.sas("rwdlac", "2021-01-01T00:00:00Z");
    let wrong = good.replace("sig=", "sig=AAAA");
    fs::write(azure.path("sas"), &good).unwrap();
    fs::write(azure.path("bad"), "no signature, but secretive").unwrap();
    let typed = |sas: &str| format!("azure:{url}?{sas}");
    let secret = |sas: &str| sas.split_once(SECRET).unwrap().1.to_owned();
    let secrets = [secret(&good), secret(&ended), secret(&wrong), "secretive".to_owned()];
    for (line, exit, says) in [
        (format!("convert raw:in.raw {}", typed(&good)), 0, "sent"),
        (format!("verify {} raw:in.raw", typed(&good)), 0, "the same content"),
        // Azurite has one code for all that is wrong with a signature.
        (format!("inspect {}", typed(&ended)), 2, "HTTP 403"),
        (format!("inspect {}", typed(&wrong)), 2, "HTTP 403"),
        (format!("inspect azure:{url}?sv=1&secretive=1"), 2, "no shared access signature"),
        (format!("convert raw:in.raw {} --json", typed(&wrong)), 2, "HTTP 403"),
        (format!("inspect azure:{url} --sas-file bad"), 2, "no shared access signature"),
        (format!("check azure:{url} --sas-file sas --for azure-gen1"), 2, "no operating system"),
        (format!("inspect azure:{url}"), 2, "no shared access signature was given"),
        (format!("inspect https://a.example/c/disk.vhd?{good}"), 2, "write azure:https://a.example"),
        (format!("frobnicate {}", typed(&good)), 2, "unrecognized subcommand"),
        (format!("inspect {} --frobnicate", typed(&good)), 2, "unexpected argument"),
    ] {
        let mut command = azure.command("");
        command
            .args(line.split_whitespace())
            .args(["-vv"])
            .env("REFLOAT_LOG", "trace")
            .env_remove("REFLOAT_AZURE_SAS");
        let output = command.output().unwrap();
        let all = [&output.stdout[..], &output.stderr[..]].concat();
        let told = String::from_utf8_lossy(&all);
        assert_eq!(output.status.code(), Some(exit), "{line}\n{told}");
        assert!(told.contains(says), "{line}: {says} is not in\n{told}");
        for secret in &secrets {
            assert!(!told.contains(secret.as_str()), "{line}\n{told}");
        }
    }
    // Nor does it lie in what is kept.
    for folder in ["state/azure", "cache"] {
        for entry in fs::read_dir(azure.path(folder)).into_iter().flatten().flatten() {
            let held = fs::read(entry.path()).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&held).contains(SECRET), "{:?}", entry.path());
            assert!(!entry.file_name().to_string_lossy().contains(SECRET));
        }
    }
}

/// A stand-in that counts and goes wrong, in front of the folder that `refloat` runs in.
pub(crate) struct Blobs {
    pub(crate) server: BlobServer,
    folder: tempfile::TempDir,
}

impl Blobs {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
        Self { server: BlobServer::start().unwrap(), folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `refloat LINE`, where `@NAME` stands for the address of a blob.
    fn command(&self, line: &str) -> Refloat {
        let line = line.replace('@', &format!("azure:{}", self.server.url("")));
        let mut command = program::command(self.folder.path(), &line);
        command
            .env("REFLOAT_AZURE_SAS", self.server.signature())
            .env("REFLOAT_STATE", self.path("state"))
            .env("REFLOAT_CACHE", self.path("cache"));
        command
    }

    #[track_caller]
    fn said(&self, line: &str, exit: i32) -> String {
        let output = self.command(line).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(output.status.code(), Some(exit), "refloat {line}\n{said}");
        assert!(!said.contains("standin+secret") && !said.contains("standin%2Bsecret"), "{said}");
        said
    }

    /// Whether the blob is what `refloat convert` makes of the same disk as a file.
    #[track_caller]
    fn holds(&self, blob: &str, source: &str) {
        self.said(&format!("convert raw:{source} should.vhd --force"), 0);
        let content = self.server.content(blob).expect("a blob");
        assert!(content == fs::read(self.path("should.vhd")).unwrap(), "{blob} is not what it should be");
    }
}

/// A kill costs what is under way: ten pieces, and their pages are what is sent twice.
#[test]
fn no_page_is_sent_twice_but_those_under_way() {
    let blobs = Blobs::start();
    disk(&blobs.path("in.raw"), 6, 256);
    blobs.server.delay(Duration::from_millis(15));
    let mut random = fastrand::Rng::with_seed(7);
    let (most, mut kills) = (if length::long() { 50 } else { 6 }, 0);
    while kills < most {
        let before = blobs.server.blob_counts().puts;
        let mut child =
            blobs.command("convert raw:in.raw @disk.vhd --quiet").stdout(Stdio::null()).spawn().unwrap();
        let enough = before + random.u64(1..12);
        while blobs.server.blob_counts().puts < enough && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills > 2, "{kills} kills");
    blobs.said("convert raw:in.raw @disk.vhd", 0);
    blobs.holds("disk.vhd", "in.raw");
    let counts = blobs.server.blob_counts();
    let again: u64 = counts.pages.values().map(|times| u64::from(*times) - 1).sum();
    eprintln!("{kills} kills: {again} of {} pages of 4 KiB were sent again", counts.pages.len());
    assert!(again <= kills * 10 * 1024, "{again} pages");
    assert!(counts.pages.values().all(|times| u64::from(*times) <= kills + 1));
}

#[test]
fn what_may_pass_is_waited_for_and_what_is_wrong_is_seen() {
    use BlobFault::{Altered, Busy, Half, Internal, Lost, Reset, Timeout, TooMany};
    let blobs = Blobs::start();
    disk(&blobs.path("in.raw"), 8, 96);
    let faults = [Busy, TooMany, Internal, Timeout, Reset, Lost, Half];
    blobs.server.fail(9, &faults.map(|fault| (fault, 0.06)));
    let said = blobs.said("convert raw:in.raw @disk.vhd --read-back all", 0);
    assert!(said.contains("all of it was read back"), "{said}");
    assert!(blobs.server.blob_counts().faults > 5);
    blobs.said("verify @disk.vhd raw:in.raw", 0);
    blobs.server.fail(0, &[]);
    blobs.holds("disk.vhd", "in.raw");
    // What comes back is not what was sent: that is no success, and there is no footer.
    blobs.server.fail(10, &[(Altered, 1.0)]);
    let said = blobs.said("convert raw:in.raw @other.vhd", 2);
    assert!(said.contains("what was read back is not what was sent"), "{said}");
    let content = blobs.server.content("other.vhd").unwrap();
    assert!(content[content.len() - 512..].iter().all(|byte| *byte == 0));
    // Patience ends, and the same command goes on.
    blobs.server.fail(11, &[(Busy, 1.0)]);
    let said = blobs.said("convert raw:in.raw @third.vhd --azure-patience 1", 3);
    assert!(said.contains("throttled") && said.contains("to resume"), "{said}");
    // A blob that was changed since is not what was written.
    blobs.server.fail(0, &[]);
    blobs.server.spoil("disk.vhd", 5 << 20);
    let said = blobs.said("verify @disk.vhd", 1);
    assert!(said.contains("not what was written"), "{said}");
}

#[test]
fn a_signature_that_ends_is_told_and_a_new_one_goes_on() {
    let blobs = Blobs::start();
    disk(&blobs.path("in.raw"), 12, 96);
    blobs.server.end_signature_after(5);
    let said = blobs.said("convert raw:in.raw @disk.vhd", 3);
    assert!(
        said.contains("the shared access signature is over")
            && said.contains("a new shared access signature")
    );
    let before = blobs.server.blob_counts().puts;
    blobs.said("convert raw:in.raw @disk.vhd", 0);
    blobs.holds("disk.vhd", "in.raw");
    // Of a piece with a hole in it a part may have been sent.
    let again = blobs.server.blob_counts().pages.values().filter(|times| **times > 1).count();
    assert!(before >= 5 && again <= 10 * 1024, "{before} puts, {again} pages again");
    // A file is read again, with no stop.
    fs::write(blobs.path("sas"), blobs.server.signature()).unwrap();
    blobs.server.delay(Duration::from_millis(300));
    let mut child =
        blobs.command("convert raw:in.raw @next.vhd --sas-file sas").stdout(Stdio::null()).spawn().unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(60);
    let before = blobs.server.blob_counts().puts;
    while blobs.server.blob_counts().puts < before + 3 {
        assert!(std::time::Instant::now() < until && child.try_wait().unwrap().is_none(), "nothing is sent");
        std::thread::sleep(Duration::from_millis(2));
    }
    // Whoever lists the processes sees the name of the file, and nothing that is in it.
    let words = fs::read_to_string(format!("/proc/{}/cmdline", child.id())).unwrap();
    assert!(words.contains("--sas-file") && !words.contains(SECRET), "{words}");
    // The new one is there before the old one ends.
    fs::write(blobs.path("sas"), blobs.server.next_signature()).unwrap();
    blobs.server.end_signature();
    assert!(child.wait().unwrap().success());
    blobs.holds("next.vhd", "in.raw");
}

/// From a snapshot to blobs, all disks, and nothing of them on this machine.
#[test]
fn a_machine_goes_from_aws_to_azure_with_no_copy_here() {
    let Some(image) = synthetic::demo().path() else { return };
    let image = fs::read(image).unwrap();
    let data = noise(13, 40);
    let snapshots = vec![Snapshot::from_bytes(ID, image), Snapshot::from_bytes(NEWER, data)];
    let cloud = Cloud::new(snapshots, vec![]);
    let blobs = Blobs::start();
    let run = |line: &str| {
        let mut command = cloud.command(&line.replace(" @", &format!(" azure:{}", blobs.server.url(""))));
        command.env("REFLOAT_AZURE_SAS", blobs.server.signature()).env("REFLOAT_STATE", blobs.path("state"));
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&said));
        String::from_utf8(said).unwrap()
    };
    let source = format!("ebs:S --disk ebs:{NEWER}@eu-west-1");
    let said = run(&format!("migrate {source} @os.vhd --for azure-gen1"));
    assert!(said.contains("is in Azure") && said.contains("os-data1.vhd"), "{said}");
    run(&format!("migrate {source} os.vhd --for azure-gen1"));
    for name in ["os.vhd", "os-data1.vhd"] {
        let there = blobs.server.content(name).unwrap();
        assert!(there == fs::read(cloud.path().join(name)).unwrap(), "{name}");
    }
    // But 16 bytes for each 4 KiB, so that a newer snapshot can follow.
    let on_disk = |path: PathBuf| fs::metadata(path).unwrap().blocks() * 512;
    let kept: u64 =
        fs::read_dir(blobs.path("state/azure")).unwrap().map(|file| on_disk(file.unwrap().path())).sum();
    let data = on_disk(cloud.path().join("os.vhd")) + on_disk(cloud.path().join("os-data1.vhd"));
    assert!(kept < data / 100, "{kept} bytes are kept of {data}");
}
