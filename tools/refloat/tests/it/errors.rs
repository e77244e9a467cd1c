//! Errors: each says what, where, why and what to do next, in text and as a document.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use guestfix::report::escape::steers;
use rustix::fs::{CWD, FileType, Mode};
use testimages::{judge, synthetic};

use crate::program::{command, json, refloat};

/// What is typed, a piece of the error, a piece of the help line, the exit code.
type Row = (&'static str, &'static str, &'static str, i32);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // names
    ("inspect none.img", "none.img", "check the name", 2),
    ("check none.img --for azure-gen1", "No such file", "check the name", 2),
    ("plan none.img --for azure-gen1", "No such file", "check the name", 2),
    ("migrate none.img a.vhd --for azure-gen1", "No such file", "check the name", 2),
    ("convert none.img a.vhd", "No such file", "check the name", 2),
    ("verify none.img", "No such file", "check the name", 2),
    ("boot none.img --for azure-gen1", "No such file", "check the name", 2),
    ("fs ls none.img#/", "No such file", "check the name", 2),
    ("undo none.img", "none.img", "check the name", 2),
    ("apply none.json -o a.qcow2", "No such file", "refloat plan IMAGE", 2),
    ("inspect noise.img/x", "Not a directory", "is a file", 2),
    ("inspect loop", "oo many levels", "check that", 2),
    // what is no image
    ("inspect folder", "folder", "name an image file or a block device", 2),
    ("inspect pipe", "pipe", "name an image file or a block device", 2),
    ("inspect empty.img", "is empty", "copy or download of it is complete", 2),
    ("convert empty.img a.vhd", "is empty", "copy or download of it is complete", 2),
    ("verify empty.img", "is empty", "copy or download of it is complete", 2),
    ("inspect a.gz", "gzip: corrupt", "gzip -t says", 2),
    ("convert a.xz a.vhd", "xz: corrupt", "xz -t says", 2),
    ("check a.zip --for azure-gen1", "unpack it first with unzip", "name the file that comes out of it", 2),
    ("inspect a.vmdk", "version 0", "convert it first with qemu-img", 2),
    ("inspect page.html", "HTML page", "that holds the disk", 2),
    ("inspect plan.json", "a JSON document", "that holds the disk", 2),
    ("inspect qed:a.vmdk", "qed", "what an address looks like", 2),
    ("inspect bad.vhd", "corrupt", "force it, as in raw:FILE", 2),
    ("inspect bad.qcow2", "qcow2", "", 2),
    ("check noise.img --for azure-gen1", "no operating system", "refloat inspect noise.img", 2),
    ("plan noise.img --for azure-gen1", "no operating system", "refloat inspect noise.img", 2),
    ("migrate noise.img a.vhd --for azure-gen1", "no operating system", "refloat inspect noise.img", 2),
    ("inspect top.qcow2", "backing", "--allow-backing DIR", 2),
    // addresses
    ("inspect #p1", "names no image", "what an address looks like", 2),
    ("inspect demo.raw#p0", "partitions count from 1", "what an address looks like", 2),
    ("inspect demo.raw#p9", "there is no partition 9", "which partitions are there", 2),
    ("inspect qcow2:demo.raw@before", "qcow2", "", 2),
    ("inspect bad.qcow2@before", "qcow2", "", 2),
    ("inspect demo.raw#vg0/root", "vg0", "which volumes are there", 2),
    ("boot demo.raw#p1 --for azure-gen1", "takes a whole disk", "name demo.raw", 2),
    ("inspect ebs:vol-0123456789abcdef0@eu-west-1", "not a snapshot", "create-snapshot --volume-id vol-0123", 2),
    ("inspect ebs:ami-0123456789abcdef0", "not a snapshot", "describe-images --image-ids ami-0123", 2),
    ("inspect ebs:nonsense", "nonsense", "what an address looks like", 2),
    ("inspect ebs:snap-0123456789abcdef0@eu-west-1", "there are none", "set AWS_PROFILE", 2),
    ("inspect ebs:snap-0123456789abcdef0", "no region", "name the region", 2),
    ("inspect azure:disk", "is no SUBSCRIPTION/GROUP/DISK", "azure:https://", 2),
    // files in the guest
    ("fs cat demo.raw#/no/such", "no such regular file", "refloat fs ls", 2),
    ("fs cat demo.raw#/etc", "but a directory", "refloat fs ls demo.raw#/etc", 2),
    ("fs stat demo.raw#/no/such", "no such file", "refloat fs ls", 2),
    ("fs ls demo.raw#/no/such", "no such file", "refloat fs ls", 2),
    ("fs cat noise.img#/etc/fstab", "guest's root", "refloat inspect noise.img", 2),
    // the hand-over
    ("emit arm demo.raw --for azure-gen1 --resource-group rg --location westeurope --size Standard_D2s_v5 --trusted-launch", "generation 2 alone", "azure-gen2", 2),
    ("emit arm demo.raw --for azure-gen1 --resource-group rg --location westeurope --size Standard_D2s_v5 --zone 7", "no availability zone", "1, 2 or 3", 2),
    ("emit arm demo.raw --for azure-gen1 --resource-group rg --location westeurope --size Standard_D2s_v5 --name a_b-", "no name of a virtual machine", "64 letters", 2),
    ("emit arm demo.raw --for azure-gen1 --resource-group rg --location westeurope --size Standard_D2s_v5 --data-disk a", "1 are named, and the machine has 0", "once for each", 2),
    ("emit arm demo.raw --for azure-gen1 --resource-group rg --location westeurope --size Standard_D2s_v5 --license-type windows-server", "not one of this operating system", "or none", 2),
    ("emit arm demo.raw --for azure-gen1 --resource-group rg --location westeurope --size Standard_D2s_v5 --sql-license ahub", "no SQL Server", "leave --sql-license out", 2),
    ("emit arm demo.raw --for azure-gen1 --resource-group rg --location westeurope --size Standard_D2s_v5 --test --expires 2026-02-30", "no day", "2026-12-24", 2),
    ("emit arm demo.raw --for azure-gen1 --resource-group rg --location westeurope --size Standard_D2s_v5 -o old.vhd", "already exists", "--force", 2),
    ("emit arm demo.raw --for hyperv-gen1 --resource-group rg --location westeurope --size Standard_D2s_v5", "no generation of Azure", "azure-gen1 or azure-gen2", 2),
    // outputs
    ("convert demo.raw old.vhd", "already exists", "--force", 2),
    ("convert demo.raw out.txt", "cannot tell the format", "--format", 2),
    ("convert demo.raw out", "cannot tell the format", "--format", 2),
    ("convert demo.raw no/such/out.vhd", "there is no folder no/such", "mkdir -p no/such", 2),
    ("convert demo.raw folder.vhd", "is a folder", "name a file", 2),
    ("convert demo.raw demo.raw --force", "same file as the input", "another name", 2),
    ("migrate demo.raw old.vhd --for azure-gen1", "already exists", "--force", 2),
    ("migrate demo.raw no/such/out.vhd --for azure-gen1", "there is no folder", "mkdir -p", 2),
    ("convert demo.raw a.vhd --since snap-1", "--since works with snapshots", "ebs:snap-", 2),
    ("boot demo.raw --for azure-gen1 --log demo.raw", "demo.raw", "--log", 2),
    ("boot demo.raw --for azure-gen1 --qemu /no/qemu", "/no/qemu", "qemu-system-x86", 2),
    ("boot demo.raw --for azure-gen1 --network", "cannot be started directly", "leave out --network", 2),
    ("boot noise.img --for azure-gen1 --network", "no operating system", "refloat inspect noise.img", 2),
    // plans
    ("plan demo.raw --for azure-gen1 -o plan.json", "already exists", "--force", 2),
    ("plan demo.raw --for azure-gen1 -o noise.img", "is not a plan", "another name", 2),
    ("plan demo.raw --for azure-gen1 -o noise.img --force", "is not a plan", "another name", 2),
    ("plan --show noise.img", "noise.img", "refloat plan IMAGE", 2),
    ("plan --show none.json", "No such file", "refloat plan IMAGE", 2),
    ("plan --show plan.json noise.img", "not the image", "refloat plan makes a new plan", 2),
    ("apply notplan.json -o a.qcow2", "not a plan", "refloat plan IMAGE", 2),
    ("apply newer.json -o a.qcow2", "schema", "refloat plan IMAGE", 2),
    ("apply plan.json -o plan.json --force", "the plan itself", "another name", 2),
    ("apply plan.json -o a.qcow2 --image noise.img", "not the one the plan was made for", "makes a new plan", 2),
    ("apply plan.json -o a.qcow2 --image none.img", "No such file", "--image IMAGE", 2),
    ("apply moved.json -o a.qcow2", "gone.raw", "--image IMAGE", 2),
    ("apply plan.json -o no/such/a.qcow2", "no/such", "", 2),
    ("apply qcow2.json --in-place", "only raw images", "nothing was changed; apply the plan to a new file", 2),
    ("undo demo.raw", "undo", "as refloat left them", 2),
    ("undo folder", "folder", "", 2),
    ("check demo.raw --for azure-gen1 --grub no/grub", "no/grub", "boot.img", 2),
    ("plan --show demo.raw", "demo.raw: it is an image (raw), and no plan", "refloat plan IMAGE", 2),
    ("plan --show top.qcow2", "top.qcow2: it is an image (qcow2), and no plan", "refloat plan IMAGE", 2),
    ("apply large.raw -o a.qcow2", "it is an image (raw), and no plan", "refloat plan IMAGE", 2),
    ("apply large.json -o a.qcow2", "refloat reads 117440512 of a plan", "refloat plan IMAGE", 2),
    // what is typed
    ("rules no.such.rule", "there is no rule no.such.rule", "refloat rules", 2),
];

/// What the rows are about.
fn folder(folder: &Path) -> Option<()> {
    judge::need("qemu-img")?;
    fs::rename(synthetic::demo().copy_into(folder)?, folder.join("demo.raw")).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
    let padded = |start: &[u8]| [start, &[0; 70_000][..]].concat();
    write("noise.img", &[7; 100_000]);
    write("empty.img", b"");
    write("a.gz", &padded(&[0x1f, 0x8b, 8]));
    write("a.xz", &padded(b"\xfd7zXZ\0"));
    write("a.zip", &padded(b"PK\x03\x04"));
    write("a.vmdk", &padded(b"KDMV"));
    write("page.html", &padded(b"<!DOCTYPE html>"));
    write("bad.qcow2", &padded(b"QFI\xfb\0\0\0\x03"));
    write("bad.vhd", &[&[0; 8192][..], b"conectix", &[0xff; 504]].concat());
    write("notplan.json", b"{}");
    write("old.vhd", b"precious");
    for (name, start) in [("large.raw", &b""[..]), ("large.json", b"{\"schema\": \"refloat.plan/2\"")] {
        write(name, start);
        fs::File::options().write(true).open(folder.join(name)).unwrap().set_len(300 << 20).unwrap();
    }
    fs::create_dir(folder.join("folder")).unwrap();
    fs::create_dir(folder.join("folder.vhd")).unwrap();
    symlink("loop", folder.join("loop")).unwrap();
    rustix::fs::mknodat(CWD, folder.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    refloat(folder, "plan demo.raw --for azure-gen1 -o plan.json", 0);
    refloat(folder, "convert demo.raw in.qcow2", 0);
    refloat(folder, "plan in.qcow2 --for azure-gen1 -o qcow2.json", 0);
    let plan = fs::read_to_string(folder.join("plan.json")).unwrap();
    let moved = plan.replace("demo.raw", "gone.raw");
    write("moved.json", moved.as_bytes());
    write("newer.json", br#"{"schema": "refloat.plan/9"}"#);
    let mut create = judge::tool("qemu-img");
    create.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "demo.raw", "top.qcow2"]);
    judge::run(create.current_dir(folder));
    Some(())
}

#[test]
fn every_error_says_what_and_what_next() {
    let temporary = tempfile::tempdir().unwrap();
    if folder(temporary.path()).is_none() {
        return;
    }
    let mut wrong = Vec::new();
    for &(line, error, help, exit) in ROWS {
        let run = |line: &str| {
            let mut command = command(temporary.path(), line);
            for name in [
                "AWS_ACCESS_KEY_ID",
                "AWS_SECRET_ACCESS_KEY",
                "AWS_REGION",
                "AWS_DEFAULT_REGION",
                "AWS_PROFILE",
            ] {
                command.env_remove(name);
            }
            command.env("HOME", "/proc/nowhere").output().unwrap()
        };
        let output = run(line);
        let said = String::from_utf8(output.stderr).unwrap();
        let told = said.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or("no error line");
        let next = said.lines().find_map(|line| line.strip_prefix("help: ")).unwrap_or("no help line");
        if output.status.code() != Some(exit)
            || !told.contains(error)
            || !next.contains(help)
            || !output.stdout.is_empty()
        {
            wrong.push(format!("refloat {line}\n    {:?}: {told}\n    help: {next}", output.status.code()));
            continue;
        }
        assert!(
            !next.is_empty() && next.len() < 250 && !said.contains(steers_but_line_ends),
            "{line}: {said}"
        );
        // The same as a document.
        let output = run(&format!("{line} --json"));
        assert_eq!(output.status.code(), Some(exit), "{line} --json");
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&document["schema"], &document["exit"]),
            (&"refloat.error/1".into(), &exit.into()),
            "{document}"
        );
        assert_eq!(document["help"], next, "{line}");
        let text = document["error"].as_str().unwrap();
        let causes = document["causes"].as_array().unwrap().iter().map(|cause| cause.as_str().unwrap());
        let whole = std::iter::once(text).chain(causes).collect::<Vec<_>>().join(": ");
        assert_eq!(whole, told, "{line}");
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ROWS.len(), wrong.join("\n"));
    assert!(ROWS.len() >= 60);
}

fn steers_but_line_ends(c: char) -> bool {
    c != '\n' && steers(c)
}

#[test]
fn who_may_not_read_or_write_is_told_so() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join("secret.img"), [0; 8192]).unwrap();
    fs::set_permissions(folder.join("secret.img"), Permissions::from_mode(0o600)).unwrap();
    fs::write(folder.join("open.img"), [7; 8192]).unwrap();
    for line in [
        "inspect secret.img",
        "convert secret.img a.vhd",
        "apply secret.img -o a.qcow2",
        "convert open.img a.raw",
    ] {
        let mut command = command(folder, line);
        if rustix::process::geteuid().is_root() {
            command.user(65534);
        }
        let Ok(output) = command.output() else {
            return judge::skip("a folder of programs that everybody may enter");
        };
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        assert!(
            said.contains("Permission denied") && said.contains("help: check with ls -l"),
            "{line}: {said}"
        );
    }
}

/// What is typed wrongly is a document, too.
#[test]
fn a_usage_error_is_a_document_as_well() {
    let folder = tempfile::tempdir().unwrap();
    for line in ["check --json", "no-such-verb --json", "check a --for nowhere --json", "plan --json a"] {
        let document = json(folder.path(), line.trim_end_matches(" --json").trim_end(), 2);
        assert_eq!(document["schema"], "refloat.error/1", "{line}");
        assert!(!document["error"].as_str().unwrap().is_empty(), "{document}");
    }
}

/// Every verb answers with a document, or says by name that it does not.
#[test]
fn json_is_honoured_or_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        "man",
        "man check",
        "completions bash",
        "schema check",
        "help",
        "help check",
        "check --help",
        "--help",
        "-V",
    ] {
        let document = json(folder.path(), line, 2);
        assert_eq!(document["schema"], "refloat.error/1", "{line}");
        assert!(document["error"].as_str().unwrap().contains("--json"), "{line}: {document}");
    }
    json(folder.path(), "rules", 0);
}

/// "-" is no file: said with what to do.
#[test]
fn there_is_no_standard_input_and_output_of_images() {
    let folder = tempfile::tempdir().unwrap();
    for (line, said) in [
        ("convert - a.vhd", "reads no images from standard input"),
        ("convert a.raw -", "writes no images to standard output"),
        ("plan a.raw --for azure-gen1 -o -", "plan --json prints the plan to standard output"),
        ("migrate a.raw b.vhd --for azure-gen1 --plan -", "plan --json prints the plan"),
    ] {
        assert!(crate::program::failure(folder.path(), line).contains(said), "{line}");
    }
}

/// A verb shows the options that it has a use for.
#[test]
fn help_shows_no_option_that_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (verb, options) in [
        ("demo", &["--disk", "--allow-backing", "--threads", "--ebs-"][..]),
        ("rules", &["--disk", "--allow-backing", "--threads", "--ebs-"]),
        ("undo", &["--disk", "--allow-backing", "--threads", "--ebs-"]),
        ("man", &["--disk", "--json", "--progress", "--quiet", "--verbose"]),
        ("schema", &["--disk", "--json", "--progress", "--quiet", "--verbose"]),
        ("completions", &["--disk", "--json", "--progress", "--quiet", "--verbose"]),
    ] {
        for help in [format!("{verb} --help"), format!("help {verb}"), format!("man {verb}")] {
            let help = refloat(folder.path(), &help, 0).replace("\\-", "-").replace("\\fB", "");
            let shown = help.lines().filter(|line| line.trim_start().starts_with('-'));
            for line in shown {
                assert!(!options.iter().any(|option| line.contains(option)), "{verb}: {line}: {help}");
            }
        }
    }
    let usage = refloat(folder.path(), "migrate --help", 0);
    assert!(usage.contains("--for <TARGET> <SOURCE> <OUTPUT>"), "{usage}");
}

#[test]
fn help_man_and_completions_are_there_for_every_verb() {
    let folder = tempfile::tempdir().unwrap();
    let page = refloat(folder.path(), "man", 0);
    assert!(page.contains(".TH refloat"), "{page}");
    for verb in
        "inspect check plan apply undo convert verify boot migrate fs rules demo man completions schema"
            .split(' ')
    {
        assert_eq!(
            refloat(folder.path(), &format!("help {verb}"), 0),
            refloat(folder.path(), &format!("{verb} --help"), 0)
        );
        assert!(refloat(folder.path(), &format!("man {verb}"), 0).contains(".TH"));
    }
    let said = crate::program::failure(folder.path(), "man no-such-verb");
    assert!(
        said.contains("there is no verb no-such-verb") && said.contains("help: refloat --help"),
        "{said}"
    );
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(refloat(folder.path(), &format!("completions {shell}"), 0).contains("refloat"));
    }
    let file = folder.path().join("bash");
    fs::write(&file, refloat(folder.path(), "completions bash", 0)).unwrap();
    judge::run(std::process::Command::new("bash").arg("-n").arg(file));
}
