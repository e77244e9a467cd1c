//! One mutant: made, judged by refloat, booted.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use testimages::mutants::{Base, GUESTS, Kind, Mutant};
use testimages::{cache, judge, lab};

use super::table::{LOGIN, Row, Said, UNKNOWN};

/// Seconds after which a boot is given up.
const TIMEOUT: &str = "900";

/// Which mutants are booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boots {
    /// None: what is known of their boots is shown.
    None,
    /// Those that refloat calls ready: a wrong one among them matters most.
    Ready,
    /// Of each kind of fault in each guest some that it calls not ready: a sample of false alarms.
    Spread,
    /// Those that it mended and calls ready then.
    Mended,
    /// All.
    All,
}

impl Boots {
    pub(super) fn named(name: &str) -> Result<Self> {
        match name {
            "none" => Ok(Self::None),
            "ready" => Ok(Self::Ready),
            "spread" => Ok(Self::Spread),
            "all" => Ok(Self::All),
            _ => bail!("--boots is none, ready, spread or all"),
        }
    }

    /// What to do one after the other, so that what matters most is known first.
    pub(super) fn passes(self) -> &'static [Self] {
        match self {
            Self::None => &[Self::None],
            Self::Ready | Self::Mended => &[Self::Ready, Self::Mended],
            Self::Spread => &[Self::Ready, Self::Spread, Self::Mended],
            Self::All => &[Self::Ready, Self::Spread, Self::Mended, Self::All],
        }
    }
}

/// Of each kind of fault in each guest, this many that are called not ready are booted for the spread.
const SPREAD: usize = 2;

/// Those of the spread, first one of each kind in each guest: they are drawn by the digest of their recipe, so
/// every run takes the same. A guest as it came does not boot, whatever else is sown into it: of those only the
/// sound ones are taken.
pub(super) fn spread(chosen: &[Mutant], is_ready: impl Fn(&Mutant) -> Option<bool>) -> Vec<Mutant> {
    let not_ready = chosen.iter().filter(|mutant| is_ready(mutant) == Some(false));
    let mut drawn: Vec<_> =
        not_ready.filter(|mutant| mutant.base == Base::Migrated || mutant.kind.is_none()).collect();
    drawn.sort_by_cached_key(|mutant| mutant.recipe());
    let mut taken: HashMap<_, usize> = HashMap::new();
    let numbered = drawn.into_iter().map(|mutant| {
        let number = taken.entry((mutant.guest.name, mutant.kind)).or_default();
        *number += 1;
        (*number, mutant.clone())
    });
    let mut numbered: Vec<_> = numbered.filter(|(number, _)| *number <= SPREAD).collect();
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().map(|(_, mutant)| mutant).collect()
}

/// The program, the machines, and the guests.
pub(super) struct Bench {
    refloat: PathBuf,
    program: String,
    /// The laboratory's QEMU and the one that is installed, each without AVX: what glibc does with it takes
    /// TCG a third longer than what it does without.
    laboratory: PathBuf,
    stock: PathBuf,
    /// Each guest's raw image, as it came and as it was migrated, with its digest.
    images: HashMap<(&'static str, Base), (PathBuf, String)>,
    kept: PathBuf,
    /// Where disks are made.
    scratch: PathBuf,
}

impl Bench {
    /// `None`, after visible skips, where a guest or the laboratory cannot be had.
    pub(super) fn new(refloat: PathBuf, scratch: Option<PathBuf>) -> Result<Option<Self>> {
        let Some(laboratory) = lab::qemu() else { return Ok(None) };
        if !judge::need_all(&["partx", "mcopy", "cpio", "lz4", "zstd", "python3", "grub-editenv", "lvm"]) {
            return Ok(None);
        }
        let kept = cache::directory().join("truth");
        fs::create_dir_all(&kept)?;
        let mut images = HashMap::new();
        for guest in GUESTS {
            let Some(image) = guest.image() else { return Ok(None) };
            let source = image.display().to_string();
            let name = format!("{}-migrated.raw", guest.name);
            let path = cache::cached(&name, &[source.as_bytes()], |out| {
                let mut migrate = Command::new(&refloat);
                migrate.args(["migrate", "--quiet", "--for", guest.target]).arg(&image).arg(out.join(&name));
                ensure!(migrate.stdout(Stdio::null()).status()?.success(), "{migrate:?} failed");
                Ok(())
            })?;
            for (base, path) in [(Base::AsItCame, image), (Base::Migrated, path)] {
                let digest = digest(&kept, &path)?;
                images.insert((guest.name, base), (path, digest));
            }
        }
        let scratch = scratch.unwrap_or_else(cache::directory);
        let program = judge::sha256(&refloat)[..16].to_owned();
        let laboratory = without_avx(&kept, &laboratory)?;
        let stock = without_avx(&kept, Path::new("qemu-system-x86_64"))?;
        Ok(Some(Self { refloat, program, laboratory, stock, images, kept, scratch }))
    }

    /// What is known of a mutant after as many boots as are asked for. `None` if its fault cannot be sown into
    /// this guest, which is said.
    pub(super) fn judge(&self, mutant: &Mutant, boots: Boots) -> Result<Option<Row>> {
        let (image, digest) = &self.images[&(mutant.guest.name, mutant.base)];
        let key = format!("{}-{digest}", mutant.recipe());
        let mut made = Made { image, mutant, scratch: &self.scratch, folder: None };
        let said = match self.recall(&format!("{key}-{}", self.program)) {
            Some(said) => said,
            None => match made.disk() {
                Ok(disk) => {
                    let said = self.check(&disk, mutant)?;
                    self.keep(&format!("{key}-{}", self.program), &said)?;
                    said
                }
                Err(error) => {
                    println!("{}: not sown: {error:#}", mutant.id());
                    return Ok(None);
                }
            },
        };
        let verdict = said_of(&said);
        let mended = !verdict.ready && said["ready_after_fix"] == true;

        let wanted = matches!(boots, Boots::Spread | Boots::All) || (boots == Boots::Ready && verdict.ready);
        let mended_wanted = matches!(boots, Boots::Mended | Boots::All);
        let boots_now = self.boots(&key, wanted, verdict.ready, mutant, || made.disk())?;
        // What is wrong decides what is changed.
        let wrong = judge::digest(said["wrong"].to_string().as_bytes());
        let mended_key = format!("{key}-mended-{}", &wrong[..16]);
        let boots_mended = if mended {
            self.boots(&mended_key, mended_wanted, true, mutant, || self.mend(&made.disk()?, mutant))?
        } else {
            None
        };
        let row = Row { id: mutant.id(), said: verdict, boots: boots_now, mended, boots_mended };
        Ok(Some(row))
    }

    /// How far a disk boots, if it is known or wanted. What is called ready and does not come to its login is
    /// booted a second time, and that counts.
    fn boots(
        &self,
        key: &str,
        wanted: bool,
        called_ready: bool,
        mutant: &Mutant,
        disk: impl FnOnce() -> Result<PathBuf>,
    ) -> Result<Option<String>> {
        let key = format!("boot{}-{key}", if about_network(mutant) { "s" } else { "" });
        if let Some(boot) = self.recall(&key) {
            return Ok(Some(came_to(&boot)));
        }
        if !wanted {
            return Ok(None);
        }
        let disk = disk()?;
        let mut answer = self.ask("boot", &disk, mutant, &self.machine(mutant))?;
        // A busy host's own faults: an emulated timer that does not keep up, a guest too slow for our patience.
        let timer = |line: &str| line.contains("IO-APIC + timer doesn't work");
        if answer["evidence"].as_str().is_some_and(timer) || (called_ready && came_to(&answer) != LOGIN) {
            let first = came_to(&answer);
            answer = self.ask("boot", &disk, mutant, &self.machine(mutant))?;
            answer["first"] = first.into();
        }
        // The disk alone does not show what these are about: a second boot has a network card.
        if answer["verdict"] == LOGIN && about_network(mutant) {
            let mut options = self.machine(mutant);
            options.push("--network".to_owned());
            answer["network"] = self.ask("boot", &disk, mutant, &options)?["network"].take();
        }
        answer["id"] = mutant.id().into();
        self.keep(&key, &answer)?;
        Ok(Some(came_to(&answer)))
    }

    /// The QEMU for a mutant: the laboratory's storage is out of UEFI's reach.
    fn machine(&self, mutant: &Mutant) -> Vec<String> {
        let qemu = if mutant.guest.target.ends_with("gen1") { &self.laboratory } else { &self.stock };
        let qemu = qemu.display().to_string();
        ["--timeout", TIMEOUT, "--qemu", &qemu].map(str::to_owned).to_vec()
    }

    /// What refloat says, in short.
    fn check(&self, disk: &Path, mutant: &Mutant) -> Result<Value> {
        let check = self.ask("check", disk, mutant, &[])?;
        let items: Vec<_> = check["items"].as_array().into_iter().flatten().collect();
        let of = |is: &dyn Fn(&Value) -> bool| -> Vec<Value> {
            items.iter().filter(|item| is(item)).map(|item| item["rule"].clone()).collect()
        };
        let blockers = of(&|item| item["verdict"] != "ok" && item["severity"] == "blocker");
        let wrong = of(&|item| item["verdict"] == "wrong");
        let walk = &check["walk"];
        let default = walk["routes"].as_array().into_iter().flatten().find(|route| route["default"] == true);
        let hops = [&walk["loader"], default.map_or(&Value::Null, |route| &route["hops"]), &walk["system"]];
        let hops = hops.iter().flat_map(|hops| hops.as_array().into_iter().flatten());
        let stop = hops.into_iter().find(|hop| hop["outcome"] != "reached").cloned();
        Ok(json!({
            "id": mutant.id(),
            "ready": check["ready"],
            "ready_after_fix": check["ready_after_fix"],
            "error": check["error"],
            "blockers": blockers,
            "wrong": wrong,
            "stop": stop,
        }))
    }

    /// The disk as refloat mends it.
    fn mend(&self, disk: &Path, mutant: &Mutant) -> Result<PathBuf> {
        let mended = disk.with_extension("qcow2");
        let mut migrate = Command::new(&self.refloat);
        migrate.args(["migrate", "--quiet", "--for", mutant.guest.target]).arg(disk).arg(&mended);
        let output = migrate.output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{migrate:?}: {}: {said}", output.status);
        Ok(mended)
    }

    /// The answer of a verb, also where it is an error.
    fn ask(&self, verb: &str, disk: &Path, mutant: &Mutant, options: &[String]) -> Result<Value> {
        let mut refloat = Command::new(&self.refloat);
        refloat.args([verb, "--json", "--quiet", "--for", mutant.guest.target]).args(options).arg(disk);
        refloat.current_dir(disk.parent().context("a folder")?);
        let output = refloat.output().context("refloat cannot be started")?;
        let answered = matches!(output.status.code(), Some(0..=2)) && !output.stdout.is_empty();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(answered, "refloat {verb} of {}: {}: {said}", mutant.id(), output.status);
        serde_json::from_slice(&output.stdout).with_context(|| format!("refloat {verb} answers no JSON"))
    }

    fn recall(&self, key: &str) -> Option<Value> {
        let text = fs::read(self.kept.join(format!("{key}.json"))).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn keep(&self, key: &str, what: &Value) -> Result<()> {
        // By a rename, so that what is stopped half-way is not there.
        let file = tempfile::NamedTempFile::new_in(&self.kept)?;
        fs::write(file.path(), serde_json::to_vec_pretty(what)?)?;
        file.persist(self.kept.join(format!("{key}.json")))?;
        Ok(())
    }
}

/// The digest of a guest's image, which is read but once as long as it is the same file.
fn digest(kept: &Path, image: &Path) -> Result<String> {
    let metadata = image.metadata()?;
    let file = format!("{} {} {:?}", image.display(), metadata.len(), metadata.modified()?);
    let path = kept.join(format!("image-{}", &judge::digest(file.as_bytes())[..16]));
    if let Ok(digest) = fs::read_to_string(&path) {
        return Ok(digest);
    }
    let digest = judge::sha256(image)[..16].to_owned();
    fs::write(&path, &digest)?;
    Ok(digest)
}

/// A program that is this QEMU with another processor: of two options the last one counts.
fn without_avx(folder: &Path, qemu: &Path) -> Result<PathBuf> {
    let name = qemu.file_name().context("a program")?.to_string_lossy();
    let path = folder.join(format!("{name}-without-avx"));
    let script =
        format!("#!/bin/sh\nexec '{}' \"$@\" -cpu max,-la57,-pku,-avx,-avx2,-avx512f,-fma\n", qemu.display());
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// A mutant's disk, made when it is asked for first.
struct Made<'a> {
    image: &'a Path,
    mutant: &'a Mutant,
    scratch: &'a Path,
    folder: Option<TempDir>,
}

impl Made<'_> {
    fn disk(&mut self) -> Result<PathBuf> {
        if let Some(folder) = &self.folder {
            return Ok(folder.path().join("mutant.raw"));
        }
        let folder = tempfile::tempdir_in(self.scratch)?;
        let disk = folder.path().join("mutant.raw");
        judge::run(judge::tool("cp").arg("--sparse=always").arg(self.image).arg(&disk));
        judge::run(judge::tool("chmod").arg("u+w").arg(&disk));
        self.mutant.sow(&disk)?;
        self.folder = Some(folder);
        Ok(disk)
    }
}

fn said_of(said: &Value) -> Said {
    let stop = &said["stop"];
    let hop = match (stop["kind"].as_str(), stop["outcome"].as_str()) {
        (Some(hop), Some("unknown")) => format!("{hop}?"),
        (Some(hop), _) => hop.to_owned(),
        (None, _) if !said["error"].is_null() => "error".to_owned(),
        (None, _) => "rule".to_owned(),
    };
    Said { ready: said["ready"] == true, hop }
}

/// Whether a fault is one of the network, or of the server that answers there.
fn about_network(mutant: &Mutant) -> bool {
    let name = &mutant.name;
    mutant.kind == Some(Kind::Network)
        || ["ssh", "ifup", "interfaces", "card"].iter().any(|part| name.contains(part))
        || mutant.kind.is_none()
}

/// How far a boot came: the login, or the hop that it stopped at.
fn came_to(boot: &Value) -> String {
    let network = &boot["network"];
    if network.is_object() && network["answered"] != true {
        return if network["address"] == true { "the login" } else { "the network" }.to_owned();
    }
    let hop = boot["hop"].as_str().unwrap_or("?");
    match boot["verdict"].as_str() {
        Some("login") => LOGIN.to_owned(),
        Some("stopped") => format!("the {hop}"),
        _ => UNKNOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use testimages::mutants;

    use super::*;

    #[test]
    fn the_spread_has_every_kind_of_fault_in_every_guest_before_a_second_one() {
        let all = mutants::all();
        assert_eq!(all.iter().map(Mutant::id).collect::<BTreeSet<_>>().len(), all.len());
        let drawn = spread(&all, |mutant| Some(mutant.kind.is_none()));
        let cells: Vec<_> = drawn.iter().map(|mutant| (mutant.guest.name, mutant.kind)).collect();
        let distinct: BTreeSet<_> = cells.iter().collect();
        let first: BTreeSet<_> = cells[..distinct.len()].iter().collect();
        assert_eq!(first, distinct);
        let of_all: BTreeSet<_> = all
            .iter()
            .map(|mutant| (mutant.guest.name, mutant.kind))
            .filter(|cell| cell.1.is_some())
            .collect();
        assert_eq!(distinct.into_iter().copied().collect::<BTreeSet<_>>(), of_all);
        assert!(drawn.iter().all(|mutant| mutant.base == Base::Migrated));
        assert!(spread(&all, |_| Some(true)).is_empty() && spread(&all, |_| None).is_empty());
    }

    #[test]
    fn guests_as_they_came_have_some_of_the_same_faults() {
        let all = mutants::all();
        for guest in GUESTS {
            let of = |base| all.iter().filter(move |mutant| mutant.guest == guest && mutant.base == base);
            let recipes: BTreeSet<_> = of(Base::Migrated).map(Mutant::recipe).collect();
            let as_it_came: Vec<_> = of(Base::AsItCame).collect();
            assert!((8..=10).contains(&as_it_came.len()), "{}: {}", guest.name, as_it_came.len());
            assert!(as_it_came.iter().all(|mutant| recipes.contains(&mutant.recipe())), "{}", guest.name);
            assert!(as_it_came.iter().all(|mutant| mutant.id().starts_with(&format!("{}-ec2/", guest.name))));
        }
    }
}
