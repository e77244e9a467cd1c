//! Adding modules to an initramfs: files, indexes, hints, and the new bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::archive::Archive;
use crate::closure::{Module, Root};
use crate::codec::Codec;
use crate::coverage::Present;
use crate::cpio::{self, Entry, Kind};
use crate::error::{Error, Result};
use crate::generator::Generator;
use crate::kmod::alias::{Aliases, Softdeps, Table};
use crate::kmod::dep::{Dep, Line};
use crate::modules::{ModuleTree, normalise};
use crate::segment::Segment;

/// How the new records get into the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Mode {
    /// Unpack the last segment, put them before its trailer, pack it again: the tools of the distribution
    /// (`lsinitramfs`, `lsinitrd`) then see them, and the size stays about the same.
    #[default]
    Rewrite,
    /// Put them into an archive of their own after the original bytes, which stay as they are.
    Append,
}

/// What to add, and from where.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The kernel release, as in `/lib/modules/<kver>`.
    pub kver: &'a str,
    /// The modules wanted. Those the kernel does not have are left out, save the required ones.
    pub modules: &'a [&'a str],
    /// Those of them without which the machine does not boot: it is an error if the kernel does not have
    /// them.
    pub required: &'a [&'a str],
    /// Those of them that are also named in the generator's own list of what to load first, so that nothing
    /// depends on udev alone.
    pub first: &'a [&'a str],
    /// The guest's `/lib/modules/<kver>`.
    pub tree: &'a dyn ModuleTree,
    /// How. `Append` falls back to `Rewrite` where the guest's kernel could not find the appended archive.
    pub mode: Mode,
}

impl<'a> Request<'a> {
    /// A request in the default mode, of modules that may all be absent and are loaded by udev.
    #[must_use]
    pub fn new(kver: &'a str, modules: &'a [&'a str], tree: &'a dyn ModuleTree) -> Self {
        Self { kver, modules, required: &[], first: &[], tree, mode: Mode::default() }
    }
}

/// A new initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Injected {
    /// The new file; the old one's bytes if there was nothing to do.
    pub bytes: Arc<[u8]>,
    /// Paths of the module (or other) files added, in the initramfs, in the order they were found to be
    /// needed.
    pub added: Vec<String>,
    /// How the records were put in; `None` if there was nothing to do.
    pub mode: Option<Mode>,
    /// What was done, one line each, for people.
    pub changes: Vec<String>,
    /// Names of the wanted modules that the result must be able to load: for [`verify`](crate::verify()).
    pub loadable: Vec<String>,
    /// Names of the wanted modules that the kernel does not have.
    pub absent: Vec<String>,
}

/// Adds the wanted modules and all they need. What is there already stays; asked again, it changes nothing.
/// The same input gives the same bytes.
pub fn inject(archive: &Archive<'_>, request: &Request<'_>) -> Result<Injected> {
    let generator = archive.generator();
    refuse(archive, generator)?;
    let root = Root::open(request.tree, request.kver)?;
    let present = Present::of(archive, request.kver)?;

    let wanted: BTreeSet<String> =
        request.modules.iter().map(|name| normalise(name)).filter(|name| !root.is_builtin(name)).collect();
    let modules = root.closure(wanted.iter().cloned(), |name| present.needs(name))?;
    let available =
        |name: &String| present.path(name).is_some() || modules.iter().any(|module| module.name == *name);
    let (loadable, absent): (Vec<String>, Vec<String>) = wanted.into_iter().partition(available);
    let vital: Vec<_> =
        absent.iter().filter(|name| request.required.contains(&name.as_str())).cloned().collect();
    if !vital.is_empty() {
        return Err(Error::NotInKernel { kver: request.kver.to_owned(), modules: vital });
    }

    let mut new = NewFiles::new(archive);
    let added = new.modules(request.kver, &present, &modules)?;
    if !added.is_empty() {
        new.hints(generator, &loadable, request)?;
    }
    let (bytes, mode) = if new.files.is_empty() {
        (archive.bytes.to_vec(), None)
    } else {
        let (bytes, mode) = new.write(request.kver, request.mode)?;
        (bytes, Some(mode))
    };
    Ok(Injected { bytes: bytes.into(), added, mode, changes: new.changes, loadable, absent })
}

/// Puts files, each a path and its content, in place of those of that name, or as new ones. What is there
/// already stays; asked again, it changes nothing.
///
/// # Errors
/// `Malformed` if something is in the way, or the archive cannot be packed again.
pub fn put_files(archive: &Archive<'_>, files: &[(&str, &[u8])]) -> Result<Injected> {
    let mut new = NewFiles::new(archive);
    for (path, content) in files {
        new.put(path, content.to_vec(), format!("put {path} ({} bytes)", content.len()))?;
    }
    let (added, absent, loadable) = (new.files.keys().cloned().collect(), Vec::new(), Vec::new());
    let (bytes, mode) = if new.files.is_empty() {
        (archive.bytes.to_vec(), None)
    } else {
        let (bytes, mode) = new.write("", Mode::Rewrite)?;
        (bytes, Some(mode))
    };
    Ok(Injected { bytes: bytes.into(), added, mode, changes: new.changes, loadable, absent })
}

/// Refuses what injected modules would do no good to.
fn refuse(archive: &Archive<'_>, generator: Generator) -> Result<()> {
    let why = if !archive.has_init() {
        "an archive without /init"
    } else if generator == Generator::Booster {
        "an initramfs of booster, which has module lists of its own"
    } else if generator == Generator::Mkinitrd && archive.find("bin/nash").is_some() {
        "an initramfs of mkinitrd with nash, which loads modules by fixed paths"
    } else {
        return Ok(());
    };
    Err(Error::unsupported(why, 0))
}

/// The files to write: resolved path to content.
struct NewFiles<'a> {
    archive: &'a Archive<'a>,
    files: BTreeMap<String, Vec<u8>>,
    changes: Vec<String>,
}

impl<'a> NewFiles<'a> {
    fn new(archive: &'a Archive<'a>) -> Self {
        Self { archive, files: BTreeMap::new(), changes: Vec::new() }
    }

    /// Sets a file's content, unless it is that already.
    fn put(&mut self, path: &str, content: Vec<u8>, change: String) -> Result<()> {
        if let Some(file) = self.archive.find(path)
            && file.entry.kind == Kind::File
            && file.data()? == content
        {
            return Ok(());
        }
        let path = self.place(path)?;
        self.files.insert(path, content);
        self.changes.push(change);
        Ok(())
    }

    /// Where the kernel will put a file of this path: the part that exists with its links followed. A
    /// directory record for a path that goes through a link would take the link's place.
    fn place(&self, path: &str) -> Result<String> {
        let mut known = path;
        let mut rest = "";
        loop {
            if let Some(resolved) = self.archive.resolve(known) {
                let is_parent = !rest.is_empty();
                if is_parent != self.archive.is_directory(&resolved) {
                    return Err(Error::malformed("tree", 0, format!("{resolved} is in the way of {path}")));
                }
                return Ok(format!("{resolved}{rest}").trim_start_matches('/').to_owned());
            }
            known = known.rsplit_once('/').map_or("", |(parent, _)| parent);
            rest = path.get(known.len()..).unwrap_or_default();
        }
    }

    /// The module files and the merged indexes. Returns the paths of the files.
    fn modules(&mut self, kver: &str, present: &Present, modules: &[Module]) -> Result<Vec<String>> {
        if modules.is_empty() {
            return Ok(Vec::new());
        }
        let directory = self.archive.module_dir(kver);
        let mut paths = BTreeMap::new();
        let mut added = Vec::new();
        for module in modules {
            // What unpacks modules in the initramfs may not know the compression of the guest's, so a
            // compressed one goes in only next to its like. The signature is that of the unpacked
            // module, and stays.
            let suffix = crate::closure::suffix(&module.path).unwrap_or_default();
            let (path, content) = match &module.unpacked {
                Some(unpacked) if !present.has_suffix(suffix) => {
                    (module.path.strip_suffix(suffix).unwrap_or(&module.path), unpacked)
                }
                _ => (module.path.as_str(), &module.file),
            };
            paths.insert(module.name.as_str(), path);
            let full = format!("{directory}/{path}");
            let change = format!("add {full} ({} bytes)", content.len());
            self.put(&full, content.clone(), change)?;
            added.push(full);
        }
        self.indexes(kver, &directory, present, modules, &paths)?;
        Ok(added)
    }

    /// Merges the lines of the new modules into the indexes and writes them as text and in binary: busybox
    /// reads the one, libkmod the other.
    fn indexes(
        &mut self,
        kver: &str,
        directory: &str,
        present: &Present,
        modules: &[Module],
        paths: &BTreeMap<&str, &str>,
    ) -> Result<()> {
        let archive = self.archive;
        let read =
            |name: &str| archive.find(&format!("{directory}/{name}")).map(|file| file.data()).transpose();
        let old = |name: &str| Ok::<_, Error>(read(name)?.unwrap_or_default());
        let new: BTreeSet<&str> = paths.keys().copied().collect();

        let mut dep = Dep::parse(old("modules.dep")?, kver);
        if let (true, Some(bytes)) = (dep.lines.is_empty(), read("modules.dep.bin")?) {
            dep = Dep::from_index(bytes, kver)?;
        }
        dep.lines.retain(|line| !new.contains(normalise(&line.path).as_str()));
        for module in modules {
            let path = |name: &String| {
                paths
                    .get(name.as_str())
                    .map(|path| (*path).to_owned())
                    .or_else(|| present.path(name).cloned())
            };
            dep.lines.push(Line {
                path: path(&module.name).unwrap_or_else(|| module.path.clone()),
                needs: module.needs.iter().filter_map(path).collect(),
            });
        }
        let order = old("modules.order")?;
        dep.sort(order);
        let priorities = dep.priorities();

        let mut texts = vec![("modules.dep", dep.text(), Some(dep.index()))];
        for table in [Table::Alias, Table::Symbols] {
            let mut aliases = Aliases::parse(old(table.name())?);
            if let (true, Some(bytes)) = (aliases.lines.is_empty(), read(&format!("{}.bin", table.name()))?) {
                aliases = Aliases::from_index(bytes, table)?;
            }
            aliases.lines.retain(|(_, module)| !new.contains(module.as_str()));
            for module in modules {
                let names: Vec<String> = match table {
                    Table::Alias => module.info.aliases.clone(),
                    Table::Symbols => {
                        module.info.symbols.iter().map(|name| format!("symbol:{name}")).collect()
                    }
                };
                aliases.lines.extend(names.into_iter().map(|name| (name, module.name.clone())));
            }
            texts.push((table.name(), aliases.text(table), Some(aliases.index(table, &priorities))));
        }
        let mut softdeps = Softdeps::parse(old("modules.softdep")?);
        softdeps.lines.retain(|(module, _)| !new.contains(module.as_str()));
        for module in modules {
            softdeps
                .lines
                .extend(module.info.softdeps.iter().map(|rest| (module.name.clone(), rest.clone())));
        }
        texts.push(("modules.softdep", softdeps.text(), None));

        for (name, text, index) in texts {
            let path = format!("{directory}/{name}");
            self.put(&path, text, format!("merge {} modules into {path}", modules.len()))?;
            if let Some(index) = index {
                let path = format!("{path}.bin");
                self.put(&path, index.write(name)?, format!("rebuild {path}"))?;
            }
        }
        Ok(())
    }

    /// Names the modules in the generator's own list of what to load first, so that nothing depends on udev
    /// alone.
    fn hints(&mut self, generator: Generator, loadable: &[String], request: &Request<'_>) -> Result<()> {
        let mut names: Vec<&str> =
            request.first.iter().copied().filter(|name| loadable.iter().any(|other| other == name)).collect();
        let (path, text) = match generator {
            Generator::InitramfsTools => {
                let path = "conf/modules";
                let old = self.archive.find(path).map(|file| file.data()).transpose()?.unwrap_or_default();
                let mut text = old.to_vec();
                let lines = String::from_utf8_lossy(old);
                let first_words = lines.lines().filter_map(|line| line.split_whitespace().next());
                let listed: BTreeSet<String> = first_words.map(normalise).collect();
                names.retain(|name| !listed.contains(*name));
                if text.last().is_some_and(|last| *last != b'\n') {
                    text.push(b'\n');
                }
                text.extend(names.iter().flat_map(|name| format!("{name}\n").into_bytes()));
                (path, text)
            }
            Generator::Dracut => {
                // Loaded before anything else; the network can wait for udev.
                names.retain(|name| request.required.contains(name));
                let text: String = names.iter().map(|name| format!("rd.driver.pre={name}\n")).collect();
                let text = text.into_bytes();
                ("etc/cmdline.d/90-azure.conf", text)
            }
            _ => return Ok(()),
        };
        if names.is_empty() {
            return Ok(());
        }
        self.put(path, text, format!("name {} in {path}", names.join(" ")))
    }

    /// The new initramfs.
    fn write(&mut self, kver: &str, wanted: Mode) -> Result<(Vec<u8>, Mode)> {
        let last =
            self.archive.segments().last().ok_or_else(|| Error::malformed("initramfs", 0, "it is empty"))?;
        let links = self.unlink(last)?;
        let can_append = links.is_empty() && (last.codec != Codec::Lz4 || pads_lz4(kver));
        let mode = if can_append { wanted } else { Mode::Rewrite };
        self.files.extend(links);
        let records = self.records()?;
        let bytes = match mode {
            Mode::Append => self.append(last, records)?,
            Mode::Rewrite => self.rewrite(last, &records)?,
        };
        let how = match mode {
            Mode::Append => "append an archive to the",
            Mode::Rewrite => "pack again the",
        };
        let (codec, before, after) = (last.codec, self.archive.bytes.len(), bytes.len());
        self.changes.push(format!("{how} {codec} initramfs: {before} bytes before, {after} after"));
        Ok((bytes, mode))
    }

    /// Hard links of files that are replaced, with their content: they become files of their own, or writing
    /// the one would change the other.
    fn unlink(&self, segment: &Segment<'_>) -> Result<BTreeMap<String, Vec<u8>>> {
        let replaced =
            segment.entries.iter().filter(|entry| entry.nlink > 1 && self.files.contains_key(&entry.path));
        let inodes: BTreeSet<_> =
            replaced.filter(|entry| entry.kind == Kind::File).map(|entry| entry.inode).collect();
        let links = segment.entries.iter().filter(|entry| entry.kind == Kind::File && entry.nlink > 1);
        links
            .filter(|entry| inodes.contains(&entry.inode) && !self.files.contains_key(&entry.path))
            .filter_map(|entry| Some((entry, self.archive.find(&entry.path)?)))
            .map(|(entry, file)| Ok((entry.path.clone(), file.data()?.to_vec())))
            .collect()
    }

    /// The records of all new files, each after those of its parents that do not exist.
    fn records(&self) -> Result<Vec<u8>> {
        let mut writer = cpio::Writer::new();
        let mut made = BTreeSet::new();
        for (path, content) in &self.files {
            for (at, _) in path.match_indices('/') {
                let parent = path.get(..at).unwrap_or_default();
                if !self.archive.exists(parent) && made.insert(parent) {
                    writer.directory(parent)?;
                }
            }
            writer.file(path, content)?;
        }
        Ok(writer.into_records())
    }

    /// The original bytes, then an archive of its own.
    fn append(&self, last: &Segment<'_>, records: Vec<u8>) -> Result<Vec<u8>> {
        let mut bytes = self.archive.bytes.to_vec();
        if last.codec == Codec::Lz4 {
            // Its only end mark is a block size of zero.
            bytes.extend_from_slice(&[0; cpio::BLOCK]);
        }
        cpio::pad(&mut bytes, cpio::BLOCK);
        bytes.extend(records);
        cpio::write_trailer(&mut bytes)?;
        cpio::pad(&mut bytes, cpio::BLOCK);
        Ok(bytes)
    }

    /// All earlier segments byte for byte, then the last one without the records that are replaced and with
    /// the new. It is packed as it unpacks: neither is ever whole in memory.
    fn rewrite(&self, last: &Segment<'_>, records: &[u8]) -> Result<Vec<u8>> {
        let is_replaced = |entry: &&Entry| entry.kind == Kind::File && self.files.contains_key(&entry.path);
        let mut left_out: Vec<Range<usize>> =
            last.entries.iter().filter(is_replaced).map(|entry| entry.record.clone()).collect();
        let gone = left_out.iter().map(ExactSizeIterator::len).fold(0, usize::saturating_add);
        let kept = last.trailer.saturating_sub(gone);
        left_out.push(last.trailer..usize::MAX);

        let gap = vec![0; kept.next_multiple_of(4).saturating_sub(kept)];
        let mut new = records.to_vec();
        cpio::write_trailer(&mut new)?;
        let len = kept.saturating_add(gap.len()).saturating_add(new.len());
        let padding = len.next_multiple_of(cpio::BLOCK).saturating_sub(len);
        let tail = [gap, new, vec![0; padding]].concat();

        let start = usize::try_from(last.offset).unwrap_or(usize::MAX);
        let mut bytes = self.archive.bytes.get(..start).unwrap_or_default().to_vec();
        let mut unpacked = Ok(());
        // Nothing follows a compressed stream: old kernels take zeros after lz4 for a broken block.
        let packed = last.codec.pack(kept.saturating_add(tail.len()), |packer| {
            unpacked = last.stream(&left_out, |piece, left_out| match left_out {
                None => packer.write_all(piece),
                Some(_) => Ok(()),
            });
            packer.write_all(&tail)
        });
        unpacked?;
        bytes.extend(packed?);
        Ok(bytes)
    }
}

/// Does this kernel find the end of lz4 data that zeros follow? Mainline since 5.13 (commit 2c484419efc0).
/// Stable branches got it too, but a distribution's release does not tell whether it has it.
fn pads_lz4(kver: &str) -> bool {
    let mut numbers =
        kver.split(|char: char| !char.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 13)
}
