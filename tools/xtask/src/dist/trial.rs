//! `cargo xtask dist --test`: what was made, installed and run as users do. In the oldest Debian that its mirrors
//! still have, in a container, and against servers on loopback.

mod chroot;
mod names;
mod refusing;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::image::{USER, buildah};
use super::{Dist, Made, VERSION, payload, said, tools};
use crate::top;
use chroot::Chroot;

/// The Debian packages that this needs, each with a program of it.
const PACKAGES: &[(&str, &str)] = &[
    ("debootstrap", "/usr/sbin/debootstrap"),
    ("rpm", "/usr/bin/rpm"),
    ("buildah", "/usr/bin/buildah"),
    ("skopeo", "/usr/bin/skopeo"),
    ("groff-base", "/usr/bin/groff"),
    ("python3-venv", "/var/lib/dpkg/info/python3-venv.list"),
];

/// Whose validator judges the list of what is in the binary, from PyPI.
const VALIDATOR: &str = "cyclonedx-python-lib[json-validation]==11.12.0";

/// Tries all of it; the first that fails ends it.
pub(super) fn run(dist: &Dist, made: &Made) -> Result<()> {
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(package, _)| *package).collect();
    ensure!(missing.is_empty(), "to try it install: apt-get install {}", missing.join(" "));
    let again = dist.pack(made.program.clone())?;
    ensure!(again.sums == made.sums, "packed twice, files differ:\n{}---\n{}", made.sums, again.sums);
    println!("tried: packed twice, all files are the same");
    let chroot = Chroot::bullseye(dist.target)?;
    debian_package(made, &chroot)?;
    match dist.target.is_here() {
        true => names(&chroot)?,
        false => println!("not tried: a name server, whose port is not given out where qemu is"),
    }
    proxy(&chroot)?;
    chroot.run("dpkg", &["--remove", "refloat"])?;
    ensure!(!chroot.path("usr/bin/refloat").exists(), "dpkg left the program");
    rpm(made, &chroot)?;
    archive(dist, made, &chroot)?;
    container(dist, made)?;
    sbom(made)
}

/// The program says who it is, and does its main job, as nobody.
fn works(chroot: &Chroot, program: &str, what: &str) -> Result<()> {
    let version = chroot.said_as_nobody(program, &["--version"])?;
    ensure!(version == format!("refloat {VERSION}"), "{what}: {version}");
    chroot.said_as_nobody(program, &["demo"]).context("the demo")?;
    println!("tried: {what} on {}", chroot.glibc()?);
    Ok(())
}

fn debian_package(made: &Made, chroot: &Chroot) -> Result<()> {
    let file = chroot.take(&made.deb)?;
    chroot.install(&file)?;
    works(chroot, "/usr/bin/refloat", "the Debian package")?;
    // The completions as bash runs them, and every page as man reads it.
    let script = ". /usr/share/bash-completion/completions/refloat; COMP_WORDS=(refloat chec); COMP_CWORD=1; \
                  _refloat refloat chec refloat; echo ${COMPREPLY[@]}";
    let completed = chroot.said_as_nobody("bash", &["-c", script])?;
    ensure!(completed == "check", "bash completes chec as {completed:?}");
    let mut pages = 0;
    for entry in fs::read_dir(chroot.path("usr/share/man/man1"))? {
        let page = entry?.path();
        if page.file_name().is_some_and(|name| name.to_string_lossy().starts_with("refloat")) {
            let script = r#"gzip -dc "$0" | groff -Kutf8 -man -Tutf8 -ww -z 2>&1"#;
            let complaints = said(Command::new("sh").args(["-c", script]).arg(&page))?;
            ensure!(complaints.is_empty(), "{}: {complaints}", page.display());
            pages += 1;
        }
    }
    ensure!(pages > 20, "there are {pages} pages for man");
    println!("tried: completions of bash, {pages} pages for man");
    Ok(())
}

/// What the program says that may not read a snapshot of the server that these variables lead to.
fn refused(chroot: &Chroot, variables: &[&str]) -> Result<String> {
    let keys = ["AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret"];
    let inspect = ["/usr/bin/refloat", "inspect", "ebs:snap-0123456789abcdef0@eu-west-1"];
    let said = chroot.said_as_nobody("env", &[variables, &keys, &inspect].concat());
    Ok(said.err().context("a snapshot was read of a server that refuses all")?.to_string())
}

/// A server that only a name server knows, asked by the C library of the system: what it refuses is told.
fn names(chroot: &Chroot) -> Result<()> {
    const HOST: &str = "snapshots.refloat.test";
    let server = refusing::serve()?;
    let asked = names::serve(HOST)?;
    fs::write(chroot.path("etc/resolv.conf"), "nameserver 127.0.0.1\n")?;
    let told = refused(chroot, &[&format!("AWS_ENDPOINT_URL=http://{HOST}:{}", server.port)])?;
    ensure!(told.contains(refusing::WHY), "{told}");
    let host = format!("host: {HOST}:{}", server.port);
    let heard = server.heard()?.to_lowercase();
    ensure!(asked.count() > 0 && heard.contains(&host), "{heard}\n{told}");
    println!("tried: a name that only a name server knows");
    Ok(())
}

/// A proxy is asked for the way to AWS. That it is gone through, and TLS, are tested in tools/refloat/tests/it/tls.rs,
/// which takes this program by REFLOAT_PROGRAM.
fn proxy(chroot: &Chroot) -> Result<()> {
    let server = refusing::serve()?;
    let told = refused(chroot, &[&format!("HTTPS_PROXY=http://127.0.0.1:{}", server.port)])?;
    let heard = server.heard()?;
    ensure!(heard.starts_with("CONNECT ebs.eu-west-1.amazonaws.com:443 "), "{heard}\n{told}");
    ensure!(told.contains("proxy"), "{told}");
    println!("tried: a proxy that refuses");
    Ok(())
}

fn rpm(made: &Made, chroot: &Chroot) -> Result<()> {
    let rpm = |args: &[&str]| {
        let mut rpm = Command::new("rpm");
        rpm.arg("--root").arg(chroot.root()).args(["--dbpath", "/var/lib/rpm"]).args(args);
        said(&mut rpm)
    };
    let file = made.rpm.to_string_lossy();
    let list = said(Command::new("rpm").args(["--query", "--package", "--list"]).arg(&made.rpm))?;
    for wanted in
        ["/usr/bin/refloat", "/usr/share/man/man1/refloat.1", "/usr/share/licenses/refloat/THIRD-PARTY.txt"]
    {
        ensure!(list.lines().any(|line| line == wanted), "the RPM has no {wanted}:\n{list}");
    }
    let needs = said(Command::new("rpm").args(["--query", "--package", "--requires"]).arg(&made.rpm))?;
    ensure!(needs.lines().any(|line| line == "glibc >= 2.17"), "the RPM needs:\n{needs}");
    // A Debian has glibc, and rpm does not know; nor does it know that qemu runs what is not for this machine.
    rpm(&["--install", "--nodeps", "--ignorearch", &file])?;
    works(chroot, "/usr/bin/refloat", "the RPM")?;
    rpm(&["--verify", "--nodeps", "refloat"]).context("rpm finds other files than it installed")?;
    rpm(&["--erase", "refloat"])?;
    ensure!(!chroot.path("usr/bin/refloat").exists(), "rpm left the program");
    Ok(())
}

fn archive(dist: &Dist, made: &Made, chroot: &Chroot) -> Result<()> {
    let file = chroot.take(&made.archive)?;
    chroot.run("tar", &["--extract", "--gzip", "--file", &file, "--directory", "/tmp"])?;
    let folder = format!("/tmp/refloat-{VERSION}-{}", dist.target.arch);
    for name in
        ["README.md", "LICENSE-MIT.txt", "THIRD-PARTY.txt", "man/refloat-check.1", "completions/zsh/_refloat"]
    {
        ensure!(chroot.path(&format!("{}/{name}", &folder[1..])).exists(), "the archive has no {name}");
    }
    works(chroot, &format!("{folder}/refloat"), "the archive")
}

fn container(dist: &Dist, made: &Made) -> Result<()> {
    let Some(image) = &made.image else { return Ok(()) };
    let place = format!("oci-archive:{}", image.display());
    let config = said(Command::new("skopeo").args(["inspect", "--config", &place]))?;
    let config: Value = serde_json::from_str(&config)?;
    let of = |field: &str| config["config"][field].clone();
    ensure!(of("User") == USER && of("WorkingDir") == "/data", "{config}");
    ensure!(of("Entrypoint") == serde_json::json!(["/usr/bin/refloat"]), "{config}");
    let container = said(buildah().args(["from", "--quiet", "--arch", dist.target.deb, &place]))?;
    let mut run = buildah();
    // The folder is its own to write in, and the demo is all of the main job.
    run.args([
        "run",
        "--isolation",
        "chroot",
        &container,
        "--",
        "/usr/bin/refloat",
        "demo",
        "--keep",
        "/data/demo",
    ]);
    let ran = said(&mut run);
    said(buildah().args(["rm", &container]))?;
    ran.context("the demo in a container")?;
    println!("tried: the image for containers");
    Ok(())
}

/// The list of what is in it: well formed for others, and complete.
fn sbom(made: &Made) -> Result<()> {
    let python = python()?;
    let script = "import sys; from cyclonedx.schema import SchemaVersion; \
                  from cyclonedx.validation.json import JsonStrictValidator as V; \
                  e = V(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read()); sys.exit(str(e) if e else 0)";
    said(Command::new(python).args(["-c", script]).arg(&made.sbom))?;
    let list: Value = serde_json::from_str(&fs::read_to_string(&made.sbom)?)?;
    let names: Vec<&str> =
        list["components"].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
    let notices = fs::read_to_string(payload::folder().join("THIRD-PARTY.txt"))?;
    let linked =
        notices.lines().skip_while(|line| !line.is_empty()).skip(1).take_while(|line| !line.is_empty());
    for line in linked {
        let name = line.split(' ').next().unwrap_or_default();
        ensure!(names.contains(&name), "the SBOM does not name {name}");
    }
    println!("tried: the SBOM, {} components", names.len());
    Ok(())
}

fn python() -> Result<PathBuf> {
    let folder = top().join("target/trial/python");
    let python = folder.join("bin/python");
    if !folder.join("done").exists() {
        crate::run("python3", &["-m", "venv", &folder.to_string_lossy()])?;
        tools::run(Command::new(&python).args(["-m", "pip", "install", "--quiet", VALIDATOR]))?;
        fs::write(folder.join("done"), "")?;
    }
    Ok(python)
}
