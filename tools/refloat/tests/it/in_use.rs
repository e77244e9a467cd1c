//! Images that others use: nothing writes into them, and who reads them is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use libdisk::image::in_use::{Exclusive, Reading};
use testimages::judge::{self, KernelMount};
use testimages::synthetic;

use crate::program::{command, failure, refloat};

/// A guest with its plan, to be changed; and another that has been, to be undone.
struct Bench {
    folder: tempfile::TempDir,
    image: String,
}

/// Where the root file system of the demo's guest is.
const ROOT: std::ops::Range<u64> = 1 << 20..32 << 20;

impl Bench {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let image = synthetic::demo().copy_into(folder.path())?;
        let image = image.file_name().unwrap().to_str().unwrap().to_owned();
        refloat(folder.path(), &format!("plan {image} --for azure-gen1 -o plan.json"), 0);
        Some(Self { folder, image })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Everything that would write into the image or take its place is refused, and says `who` is in the way.
    /// Who reads it may go on, and is told where somebody `writes`.
    #[track_caller]
    fn refuses(&self, who: &str, writes: bool) {
        let Self { image, .. } = self;
        let before = judge::sha256(&self.path().join(image));
        std::fs::write(self.path().join("small.raw"), [7; 4096]).unwrap();
        for line in [
            "apply plan.json --in-place".to_owned(),
            format!("undo {image}"),
            format!("convert raw:small.raw {image} --format raw --force"),
        ] {
            let said = failure(self.path(), &line);
            assert!(said.contains("in use") && said.contains(who), "refloat {line}: {said}");
            assert!(said.contains("\nhelp: shut the machine down or unmount"), "refloat {line}: {said}");
        }
        assert_eq!(judge::sha256(&self.path().join(image)), before);
        assert!(!self.path().join(format!("{image}.undo")).exists());
        let check = command(self.path(), &format!("check {image} --for azure-gen1")).output().unwrap();
        assert_eq!(check.status.code(), Some(1));
        let said = String::from_utf8_lossy(&check.stderr).into_owned();
        assert_eq!(said.contains("note: ") && said.contains("may change while it is read"), writes, "{said}");
        assert!(!writes || said.contains(who), "{said}");
    }

    /// Nobody uses it any more.
    fn is_free(&self) {
        refloat(self.path(), "apply plan.json --in-place", 0);
        refloat(self.path(), &format!("undo {}", self.image), 0);
    }
}

/// A program that holds the image until its standard input ends.
struct Holder {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Holder {
    /// Started, and past `sign`, with `first` typed into it.
    fn start(command: &mut Command, first: &str, sign: &str) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(first.as_bytes()).unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains(sign) {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "{command:?} ended without {sign:?}");
        }
        Self { child, said }
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        let _ = self.said.read_to_end(&mut Vec::new());
        self.child.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn while_another_refloat_reads_it() {
    let Some(bench) = Bench::new() else { return };
    let image = bench.path().join(&bench.image);
    let reading = Reading::take(&image).unwrap();
    bench.refuses("locked it against changes", false);
    let also = Reading::take(&image).unwrap();
    drop(reading);
    if judge::need_all(&["qemu-io"]) {
        let qemu = |mode: &[&str]| {
            let mut qemu = judge::tool("qemu-io");
            qemu.args(mode).args(["-f", "raw", "-c", "length", &bench.image]).current_dir(bench.path());
            qemu.output().unwrap().status.success()
        };
        assert!(qemu(&["-r"]), "QEMU may read it");
        assert!(!qemu(&[]), "QEMU may not open it for writing");
    }
    drop(also);
    bench.is_free();
}

#[test]
fn while_qemu_has_it() {
    let Some(bench) = Bench::new() else { return };
    if !judge::need_all(&["qemu-io", "qemu-system-x86_64"]) {
        return;
    }
    // It has asked for nothing yet, but lets nobody write.
    let mut idle = judge::tool("qemu-io");
    idle.args(["-r", "-f", "raw", &bench.image]).current_dir(bench.path());
    let idle = Holder::start(&mut idle, "length\n", "MiB");
    bench.refuses("locked it against changes", false);
    idle.end();
    bench.is_free();

    let mut machine = judge::tool("qemu-system-x86_64");
    machine.args(["-S", "-nodefaults", "-machine", "pc", "-display", "none", "-qmp", "stdio"]);
    machine.args(["-drive", &format!("if=none,id=disk,format=raw,file={}", bench.image)]);
    machine.args(["-device", "ide-hd,drive=disk"]).current_dir(bench.path());
    // It greets before it has its disk, and answers when it has all that it is made of.
    let machine = Holder::start(&mut machine, r#"{"execute":"qmp_capabilities"}"#, "return");
    bench.refuses("has it open for writing", true);
    drop(machine);
    bench.is_free();
}

#[test]
fn qemu_is_refused_while_we_have_it() {
    let Some(bench) = Bench::new() else { return };
    if judge::need("qemu-io").is_none() {
        return;
    }
    let open = |options: &[&str]| {
        let mut qemu_io = judge::tool("qemu-io");
        qemu_io.args(options).args(["-f", "raw", "-c", "length", &bench.image]).current_dir(bench.path());
        qemu_io.output().unwrap()
    };
    assert!(open(&[]).status.success());
    let ours = Exclusive::take(&bench.path().join(&bench.image)).unwrap();
    for options in [&[][..], &["-r"]] {
        let refused = open(options);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("lock"), "{said}");
    }
    // Another refloat is refused as well, and who reads is told.
    bench.refuses("has it open for writing", true);
    drop(ours);
    bench.is_free();
}

#[test]
fn while_another_program_has_it_open_or_locked() {
    let Some(bench) = Bench::new() else { return };
    let hold = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{script}; echo ready; read end"), "sh", &bench.image]);
        Holder::start(shell.current_dir(bench.path()), "", "ready")
    };
    let writer = hold("exec 3>>\"$1\"");
    bench.refuses("(sh) has it open for writing", true);
    writer.end();
    // Readers that lock nothing are in nobody's way.
    let reader = hold("exec 3<\"$1\"");
    bench.is_free();
    reader.end();
    if judge::need("flock").is_some() {
        let locker = hold("exec 3<\"$1\"; flock 3");
        let said = failure(bench.path(), "apply plan.json --in-place");
        assert!(said.contains("another program has locked it"), "{said}");
        locker.end();
        bench.is_free();
    }
}

#[test]
fn while_it_is_mounted_or_attached() {
    let Some(bench) = Bench::new() else { return };
    if !judge::need_kernel_mounts() {
        return;
    }
    let image = bench.path().join(&bench.image);
    let mount = KernelMount::with_options(&image, ROOT, "ro");
    bench.refuses(&format!("mounted at {}", mount.path().display()), false);
    // The device it is mounted from is in use as well.
    let device = judge::run(judge::tool("findmnt").args(["-no", "SOURCE"]).arg(mount.path())).stdout;
    let device = String::from_utf8(device).unwrap();
    let said = failure(bench.path(), &format!("undo {device}"));
    assert!(said.contains("in use") && said.contains("it is mounted at"), "{said}");
    drop(mount);
    bench.is_free();
    // By another name it is the same file.
    std::fs::hard_link(&image, bench.path().join("other.raw")).unwrap();
    let mount = KernelMount::with_options(&bench.path().join("other.raw"), ROOT, "rw,noload");
    bench.refuses(&format!("mounted at {}", mount.path().display()), true);
    drop(mount);
    std::fs::remove_file(bench.path().join("other.raw")).unwrap();
}
