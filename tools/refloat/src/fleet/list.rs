//! The list of machines as people write it: a CSV with a header, or JSON lines.
//!
//! A column is an option of `migrate` or of `emit`, so a row is judged by the very parser of the command line.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use clap::error::ErrorKind;
use libdisk::cloud::azure::DiskId;
use libdisk::{Address, Location};

use super::frozen::{Machine, managed_disk};
use crate::answer::Help;
use crate::cli::Cli;
use crate::{azure, name};

/// Faults that are told at once; of the others there is only the number.
const TOLD: usize = 20;
/// Rows of one list: an array job of AWS Batch takes no more.
const MOST: usize = 10_000;

/// What the words of a column become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// A part of the row by itself.
    Own,
    /// The value of an option of migrate, of emit, or of both under their names.
    Option { migrate: &'static str, emit: &'static str },
    /// The same, once for each of the values between semicolons.
    Each { migrate: &'static str, emit: &'static str },
    /// Options without a value, where the cell says yes.
    Flag { migrate: &'static str, emit: &'static str },
}

/// The columns there are.
const COLUMNS: &[(&str, Use)] = &[
    ("id", Use::Own),
    ("source", Use::Own),
    ("target", Use::Own),
    ("for", Use::Option { migrate: "--for", emit: "--for" }),
    ("wave", Use::Own),
    ("after", Use::Own),
    ("gib", Use::Own),
    ("disks", Use::Each { migrate: "--disk", emit: "--disk" }),
    ("exclude-disks", Use::Each { migrate: "--exclude-disk", emit: "--exclude-disk" }),
    ("aws-role", Use::Option { migrate: "--aws-role", emit: "--aws-role" }),
    ("allow-backing", Use::Option { migrate: "--allow-backing", emit: "--allow-backing" }),
    ("cloud-init", Use::Option { migrate: "--cloud-init", emit: "--cloud-init" }),
    ("format", Use::Option { migrate: "--format", emit: "" }),
    ("since", Use::Option { migrate: "--since", emit: "" }),
    ("allow-blockers", Use::Flag { migrate: "--allow-blockers", emit: "" }),
    ("waivers", Use::Option { migrate: "--waivers", emit: "" }),
    ("read-back", Use::Option { migrate: "--read-back", emit: "" }),
    ("location", Use::Option { migrate: "--location", emit: "--location" }),
    ("sku", Use::Each { migrate: "--sku", emit: "" }),
    ("zone", Use::Option { migrate: "--zone", emit: "--zone" }),
    ("tags", Use::Each { migrate: "--tag", emit: "--tag" }),
    ("encryption-set", Use::Option { migrate: "--encryption-set", emit: "--disk-encryption-set" }),
    ("disk-access", Use::Option { migrate: "--disk-access", emit: "" }),
    ("security-type", Use::Option { migrate: "--security-type", emit: "" }),
    ("via", Use::Option { migrate: "--via", emit: "" }),
    ("via-account", Use::Option { migrate: "--via-account", emit: "" }),
    ("keep-via", Use::Flag { migrate: "--keep-via", emit: "" }),
    ("nvme", Use::Flag { migrate: "--nvme", emit: "--nvme" }),
    (
        "accelerated-networking",
        Use::Flag { migrate: "--accelerated-network", emit: "--accelerated-networking" },
    ),
    ("hand-over", Use::Own),
    ("name", Use::Option { migrate: "", emit: "--name" }),
    ("resource-group", Use::Option { migrate: "", emit: "--resource-group" }),
    ("size", Use::Option { migrate: "", emit: "--size" }),
    ("subnet", Use::Option { migrate: "", emit: "--subnet" }),
    ("address-space", Use::Option { migrate: "", emit: "--address-space" }),
    ("private-ip", Use::Option { migrate: "", emit: "--private-ip" }),
    ("secure-boot", Use::Flag { migrate: "", emit: "--secure-boot" }),
    ("encryption-at-host", Use::Flag { migrate: "", emit: "--encryption-at-host" }),
    ("maintenance-configuration", Use::Option { migrate: "", emit: "--maintenance-configuration" }),
    ("availability-set", Use::Option { migrate: "", emit: "--availability-set" }),
    ("license-type", Use::Option { migrate: "", emit: "--license-type" }),
    ("backup", Use::Option { migrate: "", emit: "--backup" }),
];

/// Names that such columns have elsewhere.
const OTHERS: &[(&str, &str)] = &[
    ("machine", "id"),
    ("server", "id"),
    ("instance", "source"),
    ("instance-id", "source"),
    ("snapshot", "source"),
    ("image", "source"),
    ("destination", "target"),
    ("dest", "target"),
    ("generation", "for"),
    ("platform", "for"),
    ("region", "location"),
    ("vm-size", "size"),
    ("group", "resource-group"),
];

/// Columns that every list has.
const NEEDED: [&str; 4] = ["id", "source", "target", "for"];

/// A row as it was typed, by column; what is empty is not there.
type Typed = BTreeMap<&'static str, String>;

/// The machines of a list. All faults are told at once.
///
/// # Errors
/// What is wrong, row by row.
pub(crate) fn machines(path: &Path, bytes: &[u8]) -> Result<Vec<Machine>> {
    let is_json = path.extension().is_some_and(|extension| extension == "jsonl");
    let rows = if is_json { json_lines(bytes) } else { csv(bytes) };
    let rows = rows.help("a list begins with the header id,source,target,for")?;
    if rows.is_empty() || rows.len() > MOST {
        let rows = rows.len();
        return Err(anyhow!("the list has {rows} rows"))
            .help(format!("a list has from 1 to {MOST}; make several of a longer one"));
    }
    let mut faults = Vec::new();
    let mut command = Cli::whole();
    let machines: Vec<Option<Machine>> = rows
        .iter()
        .map(|(line, typed)| match machine(typed, &mut command) {
            Ok(machine) => Some(machine),
            Err(wrong) => {
                let id = typed.get("id").map(|id| format!(" ({id})")).unwrap_or_default();
                faults.push(format!("line {line}{id}: {wrong:#}"));
                None
            }
        })
        .collect();
    let lines: Vec<usize> = rows.iter().map(|(line, _)| *line).collect();
    faults.extend(together(&machines, &lines));
    if faults.is_empty() {
        return Ok(machines.into_iter().flatten().collect());
    }
    let more = faults.len().saturating_sub(TOLD);
    faults.truncate(TOLD);
    if more > 0 {
        faults.push(format!("and {more} more"));
    }
    Err(anyhow!("{}: {}", name::shown(path), faults.join("; "))).help("mend these rows; nothing was written")
}

/// The name that was meant, whatever its case and what parts its words.
fn meant<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> String {
    let plain = |name: &str| name.trim().to_lowercase().replace(['_', ' '], "-");
    let typed = plain(typed);
    let near = names.map(|name| (strsim::jaro_winkler(&typed, &plain(name)), name));
    let nearest = near.filter(|(near, _)| *near > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
    nearest.map(|(_, name)| format!(", did you mean {name}?")).unwrap_or_default()
}

fn column(typed: &str) -> Result<&'static str> {
    let typed = typed.trim();
    let known = COLUMNS.iter().find(|(name, _)| *name == typed);
    known.map(|(name, _)| *name).ok_or_else(|| {
        // What other lists call it.
        let other = OTHERS.iter().find(|(other, _)| typed.eq_ignore_ascii_case(other)).map(|(_, name)| *name);
        let meant = match other {
            Some(name) => format!(", did you mean {name}?"),
            None => meant(typed, COLUMNS.iter().map(|(name, _)| *name)),
        };
        anyhow!("there is no column {typed}{meant}")
    })
}

/// Whether such a list begins with this line: with its header, or with a row as JSON.
pub(super) fn is_list(line: &str) -> bool {
    let row = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line);
    let names: Vec<String> = match row {
        Ok(row) => row.into_iter().map(|(name, _)| name).collect(),
        Err(_) => line.split(',').map(|cell| cell.trim().trim_matches('"').to_owned()).collect(),
    };
    NEEDED.iter().all(|needed| names.iter().any(|name| name == needed))
}

/// Every line with its number.
fn csv(bytes: &[u8]) -> Result<Vec<(usize, Typed)>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(bytes);
    let header = reader.headers()?.clone();
    if let [whole] = header.iter().collect::<Vec<_>>().as_slice()
        && let Some(mark) = [';', '\t', '|'].into_iter().find(|mark| whole.contains(*mark))
    {
        bail!("its cells are parted by {mark:?}, and those of a list by commas");
    }
    let columns: Vec<&str> = header.iter().map(column).collect::<Result<_>>()?;
    for (number, name) in columns.iter().enumerate() {
        if columns[..number].contains(name) {
            bail!("there are two columns {name}");
        }
    }
    if let Some(missing) = NEEDED.iter().find(|needed| !columns.contains(needed)) {
        bail!("there is no column {missing}");
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let cells = columns.iter().copied().zip(&record).filter(|(_, cell)| !cell.is_empty());
        rows.push((usize::try_from(line)?, cells.map(|(name, cell)| (name, cell.to_owned())).collect()));
    }
    Ok(rows)
}

/// One object on each line; what is no text is taken as it is written.
fn json_lines(bytes: &[u8]) -> Result<Vec<(usize, Typed)>> {
    let text = std::str::from_utf8(bytes)?.trim_start_matches('\u{feff}');
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let row = |(number, line): (usize, &str)| {
        let cells: serde_json::Map<_, _> =
            serde_json::from_str(line).map_err(|error| anyhow!("line {}: {error}", number + 1))?;
        let cell = |(name, value): (&String, &serde_json::Value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Ok((column(name)?, text))
        };
        let cells = cells.iter().filter(|(_, value)| !value.is_null() && *value != "").map(cell);
        Ok((number + 1, cells.collect::<Result<_>>()?))
    };
    lines.map(row).collect()
}

/// The values between semicolons.
fn values(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(';').map(str::trim).filter(|value| !value.is_empty())
}

/// Whether a cell says yes.
fn is_yes(column: &str, cell: &str) -> Result<bool> {
    match cell {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        other => bail!("{column}: {other} is neither yes nor no"),
    }
}

/// A number that a column has.
fn number<T: std::str::FromStr>(typed: &Typed, column: &str) -> Result<Option<T>> {
    let cell = typed.get(column);
    cell.map(|cell| cell.parse().map_err(|_| anyhow!("{column}: {cell} is no number"))).transpose()
}

/// A row by itself, judged by the program's own command line.
fn machine(typed: &Typed, command: &mut clap::Command) -> Result<Machine> {
    for needed in NEEDED {
        if !typed.contains_key(needed) {
            bail!("{needed} is empty");
        }
    }
    let id = typed["id"].clone();
    let is_name =
        id.len() <= 63 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !is_name {
        bail!("an id has up to 63 letters, digits, points and dashes");
    }
    let (source, target) = (place(&typed["source"], true)?, place(&typed["target"], false)?);
    let mut migrate = vec!["migrate".to_owned(), source.clone(), target.clone()];
    let mut emit = typed.get("hand-over").map(|format| vec!["emit".to_owned(), format.clone(), source]);
    for (column, of) in COLUMNS {
        let Some(cell) = typed.get(column) else { continue };
        let (to_migrate, to_emit, cells): (_, _, Vec<Option<&str>>) = match of {
            Use::Own => continue,
            Use::Option { migrate, emit } => (migrate, emit, vec![Some(cell)]),
            Use::Each { migrate, emit } => (migrate, emit, values(cell).map(Some).collect()),
            Use::Flag { migrate, emit } if is_yes(column, cell)? => (migrate, emit, vec![None]),
            Use::Flag { .. } => continue,
        };
        if emit.is_none() && to_migrate.is_empty() {
            bail!("{column} is about the virtual machine: say in hand-over what is to be written for it");
        }
        for cell in cells {
            let value = match (*column, cell) {
                ("disks", Some(cell)) => Some(place(cell, true)?),
                ("allow-backing" | "waivers", Some(cell)) => {
                    Some(name::text(name::absolute(&name::path(cell))))
                }
                (_, cell) => cell.map(str::to_owned),
            };
            let add = |words: &mut Vec<String>, option: &str| {
                if !option.is_empty() {
                    words.extend(std::iter::once(option.to_owned()).chain(value.clone()));
                }
            };
            add(&mut migrate, to_migrate);
            emit.iter_mut().for_each(|emit| add(emit, to_emit));
        }
    }
    let managed = managed_disk(&target)?;
    if let Some(emit) = &mut emit {
        // The virtual machine is what its disk was made for, or Azure refuses to attach that.
        if typed.get("security-type").is_some_and(|kind| kind == "trusted-launch") {
            emit.push("--trusted-launch".to_owned());
        }
        if let Some(disk) = &managed {
            in_azure(emit, typed, disk);
        }
    }
    judge(command, &migrate)?;
    emit.as_ref().map(|words| judge(command, words)).transpose()?;
    let test = managed.is_some().then(|| test(&migrate, typed.get("size")));
    test.as_ref().map(|words| judge(command, words)).transpose()?;
    Ok(Machine {
        id,
        wave: number(typed, "wave")?.unwrap_or(0),
        after: typed.get("after").map(|cell| values(cell).map(str::to_owned).collect()).unwrap_or_default(),
        gib: number(typed, "gib")?,
        migrate,
        emit,
        test,
    })
}

/// The words that test the move which these make, on a virtual machine of this size.
fn test(migrate: &[String], size: Option<&String>) -> Vec<String> {
    let mut test = vec!["test-migrate".to_owned()];
    let mut words = migrate.iter().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            // A test is always of all that there is, and leaves no blob.
            "--since" | "--format" => {
                words.next();
            }
            // Who answers for a blocker lets the machine be tried with it.
            "--waivers" => {
                words.next();
                test.push("--allow-blockers".to_owned());
            }
            "--keep-via" => {}
            "--nvme" => test.push("--attach-nvme".to_owned()),
            // The blob is the test's own.
            "--via" => {
                let via = words.next().map(|via| beside(via));
                test.extend([word.clone(), via.unwrap_or_default()]);
            }
            _ => test.push(word.clone()),
        }
    }
    test.extend(size.into_iter().flat_map(|size| ["--size".to_owned(), size.clone()]));
    test
}

/// The blob of a test beside that of the move: `disk.vhd` becomes `disk-test.vhd`.
fn beside(via: &str) -> String {
    match via.rsplit_once('.') {
        Some((stem, extension)) if !extension.contains('/') => format!("{stem}-test.{extension}"),
        _ => format!("{via}-test"),
    }
}

/// A managed disk says which group it is in and what its name is.
fn in_azure(emit: &mut Vec<String>, typed: &Typed, disk: &DiskId) {
    if !typed.contains_key("resource-group") {
        emit.extend(["--resource-group".to_owned(), disk.group.name().to_owned()]);
    }
    emit.extend(["--os-disk".to_owned(), disk.name().to_owned()]);
}

/// An address as it is typed from any folder: a task runs wherever its engine starts it.
fn place(typed: &str, is_source: bool) -> Result<String> {
    if typed.starts_with("azure:") || typed.starts_with("ebs:") {
        return Ok(typed.to_owned());
    }
    if !is_source {
        let path = name::absolute(&name::path(typed));
        if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
            bail!("{}: there is no such folder for its target", name::shown(folder));
        }
        return Ok(name::text(path));
    }
    let mut address: Address = typed.parse()?;
    if let Location::File { path, .. } = &mut address.location {
        let file = name::path(path.to_str().unwrap_or_default());
        if !file.exists() {
            bail!("{}: there is no such file", name::shown(&file));
        }
        *path = name::absolute(&file);
    }
    Ok(name::address(&address))
}

/// Whether the program would take these words.
fn judge(command: &mut clap::Command, words: &[String]) -> Result<()> {
    let typed = std::iter::once("refloat").chain(words.iter().map(String::as_str)).map(Into::into);
    let (typed, signatures) = azure::take(typed).map_err(|wrong| anyhow!("{wrong}"))?;
    if !signatures.is_empty() {
        bail!(
            "there is a shared access signature in it, which a list must not hold: give it to the tasks by \
             REFLOAT_AZURE_SAS or --sas-file"
        );
    }
    let Err(error) = command.try_get_matches_from_mut(typed) else { return Ok(()) };
    if error.kind() == ErrorKind::DisplayHelp {
        bail!("it asks for help");
    }
    let text = error.render().to_string();
    let said = text.lines().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let said: Vec<&str> = said.map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(anyhow!("{}", said.join(" ").trim_start_matches("error: ")))
}

/// What rows say of each other.
fn together(machines: &[Option<Machine>], lines: &[usize]) -> Vec<String> {
    let mut faults = Vec::new();
    let (mut ids, mut targets) = (HashMap::new(), HashMap::new());
    for (machine, line) in machines.iter().zip(lines) {
        let Some(machine) = machine else { continue };
        if let Some((other, _)) = ids.insert(machine.id.as_str(), (line, machine)) {
            faults.push(format!("line {line}: {} is the id of line {other}, too", machine.id));
        }
        if let Some(target) = machine.migrate.get(2)
            && let Some(other) = targets.insert(target.to_lowercase(), line)
        {
            faults.push(format!("line {line} ({}): its target is that of line {other}, too", machine.id));
        }
    }
    faults.extend(over_sources(machines, lines));
    let circles = circles(machines);
    for (machine, line) in machines.iter().zip(lines) {
        let Some(machine) = machine else { continue };
        for after in &machine.after {
            let place = format!("line {line} ({}): after", machine.id);
            match ids.get(after.as_str()) {
                None => faults.push(format!(
                    "{place}: there is no machine {after}{}",
                    meant(after, ids.keys().copied())
                )),
                Some((_, other)) if other.wave > machine.wave => {
                    faults.push(format!("{place}: {after} is of a later wave"));
                }
                Some(_) if circles.contains(machine.id.as_str()) => {
                    faults.push(format!("{place}: it waits for itself by way of {after}"));
                    break;
                }
                Some(_) => {}
            }
        }
    }
    faults
}

/// Targets that are the source of a machine, its own or another's: a move would write over what is moved.
fn over_sources(machines: &[Option<Machine>], lines: &[usize]) -> Vec<String> {
    let real = |path: &Path| path.canonicalize().ok();
    let rows = || machines.iter().zip(lines).filter_map(|(machine, line)| Some((machine.as_ref()?, *line)));
    let mut sources = HashMap::new();
    for (machine, line) in rows() {
        let further =
            machine.migrate.iter().zip(machine.migrate.iter().skip(1)).filter(|(it, _)| *it == "--disk");
        for typed in machine.migrate.get(1).into_iter().chain(further.map(|(_, disk)| disk)) {
            if let Ok(Address { location: Location::File { path, .. }, .. }) = typed.parse()
                && let Some(path) = real(&path)
            {
                sources.entry(path).or_insert(line);
            }
        }
    }
    rows()
        .filter_map(|(machine, line)| {
            let target = real(&name::path(machine.migrate.get(2)?))?;
            let of = *sources.get(&target)?;
            let whose =
                if of == line { "its own source".to_owned() } else { format!("the source of line {of}") };
            Some(format!("line {line} ({}): its target is {whose}", machine.id))
        })
        .collect()
}

/// The machines that wait for themselves: those that are left when all that wait for nobody left, and all that
/// nobody left waits for, have been taken away, again and again.
fn circles(machines: &[Option<Machine>]) -> HashSet<&str> {
    let mut waits: HashMap<&str, HashSet<&str>> = HashMap::new();
    let mut waited: HashMap<&str, HashSet<&str>> = HashMap::new();
    for machine in machines.iter().flatten() {
        waits.entry(&machine.id).or_default().extend(machine.after.iter().map(String::as_str));
        machine.after.iter().for_each(|after| {
            waited.entry(after).or_default().insert(&machine.id);
        });
    }
    let mut left: HashSet<&str> = waits.keys().copied().collect();
    let is_free = |of: &HashMap<&str, HashSet<&str>>, id: &str, left: &HashSet<&str>| {
        of.get(id).is_none_or(|others| !others.iter().any(|other| left.contains(other)))
    };
    let mut todo: Vec<&str> = left.iter().copied().collect();
    while let Some(id) = todo.pop() {
        if left.contains(id) && (is_free(&waits, id, &left) || is_free(&waited, id, &left)) {
            left.remove(id);
            let near = waits.get(id).into_iter().chain(waited.get(id)).flatten();
            todo.extend(near.filter(|id| left.contains(*id)));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUB: &str = "01234567-89ab-cdef-0123-456789abcdef";

    fn read(list: &str) -> Result<Vec<Machine>> {
        let list = list.replace("azure:s/", &format!("azure:{SUB}/"));
        super::machines(Path::new("fleet.csv"), list.as_bytes())
    }

    #[track_caller]
    fn refused(list: &str, why: &str) {
        let said = format!("{:#}", read(list).unwrap_err());
        assert!(said.contains(why), "{said}");
    }

    #[test]
    fn a_row_becomes_the_words_of_the_command_line() {
        let list = "id,source,target,for,wave,tags,size,hand-over,location,gib\n\
                    web-1,ebs:snap-0123456789abcdef0@eu-west-1,azure:s/g/web-1,azure-gen2,1,a=b; c=d,Standard_D2s_v5,\
                    bicep,westeurope,30\n";
        let machines = read(list).unwrap();
        let migrate = format!(
            "migrate ebs:snap-0123456789abcdef0@eu-west-1 azure:{SUB}/g/web-1 --for azure-gen2 --location westeurope \
             --tag a=b --tag c=d"
        );
        assert_eq!(machines[0].migrate.join(" "), migrate);
        let emit = "emit bicep ebs:snap-0123456789abcdef0@eu-west-1 --for azure-gen2 --location westeurope --tag a=b \
                    --tag c=d --size Standard_D2s_v5 --resource-group g --os-disk web-1";
        assert_eq!(machines[0].emit.as_ref().unwrap().join(" "), emit);
        assert_eq!((machines[0].wave, machines[0].gib), (1, Some(30)));
        let test = migrate.replacen("migrate", "test-migrate", 1) + " --size Standard_D2s_v5";
        assert_eq!(machines[0].test.as_ref().unwrap().join(" "), test);
        let json =
            r#"{"id":"web-1","source":"ebs:i-0abc@eu-west-1","target":"w.vhd","for":"azure-gen2","wave":3}"#;
        let machines = super::machines(Path::new("f.jsonl"), json.as_bytes()).unwrap();
        assert_eq!((machines[0].wave, machines[0].test.is_none()), (3, true));
    }

    #[test]
    fn settings_of_azure_are_said_of_each_row() {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/diskEncryptionSets/d";
        let list = format!(
            "id,source,target,for,exclude-disks,sku,security-type,via,keep-via,secure-boot,encryption-set,license-type,\
             hand-over,location,size,aws-role\n\
             w,ebs:i-0abc@eu-west-1,azure:s/g/w,azure-gen2,/dev/sdf; vol-3,Premium_LRS;Standard_LRS,trusted-launch,\
             azure:https://a.blob.core.windows.net/c/w.vhd,yes,yes,{id},rhel-byos,arm,westeurope,Standard_D2s_v5,\
             arn:aws:iam::111111111111:role/move\n"
        );
        let machine = read(&list).unwrap().remove(0);
        let has = |words: &[String], of: &str| words.join(" ").contains(of);
        for of in [
            "--exclude-disk /dev/sdf --exclude-disk vol-3",
            "--sku Premium_LRS --sku Standard_LRS",
            "--via azure:https://a.blob.core.windows.net/c/w.vhd --keep-via",
            "--aws-role arn:aws:iam::111111111111:role/move",
        ] {
            assert!(has(&machine.migrate, of), "{of}: {:?}", machine.migrate);
        }
        let emit = machine.emit.unwrap();
        for of in [
            "--exclude-disk vol-3",
            "--trusted-launch",
            "--secure-boot",
            "--license-type rhel-byos",
            "--os-disk w",
        ] {
            assert!(has(&emit, of), "{of}: {emit:?}");
        }
        let test = machine.test.unwrap();
        assert!(has(&test, "/c/w-test.vhd") && !has(&test, "keep-via"), "{test:?}");
        refused(&list.replace(",yes,yes,", ",yes,perhaps,"), "secure-boot: perhaps is neither yes nor no");
        refused(&list.replace("Premium_LRS;", "Premium_XRS;"), "Premium_XRS");
        refused(&list.replace("exclude-disks", "exclude-disk"), "did you mean exclude-disks?");
        refused(&list.replace("azure:s/g/w,", "azure:mine/g/w,"), "no subscription");
        refused(&list.replace("azure:s/g/w,", "azure:s/g/snapshots/w,"), "only read");
    }

    #[test]
    fn faults_are_told_with_what_was_meant() {
        let header = "id,source,target,for,after,wave,size\n";
        let row = |id: &str, target: &str, rest: &str| format!("{id},ebs:i-0abc@eu-west-1,{target},{rest}\n");
        refused("id,sorce,target,for\n", "there is no column sorce, did you mean source?");
        refused("ID,Source,Target,For\n", "there is no column ID, did you mean id?");
        refused("id,source,destination,for\n", "there is no column destination, did you mean target?");
        refused("id,source,target,for,Resource_Group\n", "did you mean resource-group?");
        refused("id;source;target;for\n", "parted by ';', and those of a list by commas");
        // As Excel writes it.
        assert_eq!(
            read(&format!("\u{feff}{header}{}", row("a", "azure:s/g/a", "azure-gen2,,,"))).unwrap().len(),
            1
        );
        let json = "\u{feff}{\"id\":\"a\",\"source\":\"ebs:i-0abc@eu-west-1\",\"target\":\"a.vhd\",\"for\":\"azure-gen2\"}";
        assert_eq!(super::machines(Path::new("f.jsonl"), json.as_bytes()).unwrap().len(), 1);
        refused("id,source,target\n", "there is no column for");
        refused("id,source,target,for\n", "0 rows");
        refused(&format!("{header}{}", row("a", "azure:s/g/a", "azure-gen3,,,")), "azure-gen3");
        refused(&format!("{header}{}", row("a b", "azure:s/g/a", "azure-gen2,,,")), "an id has");
        refused(&format!("{header}{}", row("a", "azure:s/g/a", "azure-gen2,,x,")), "wave: x is no number");
        refused(&format!("{header}{}", row("a", "azure:s/g/a", "azure-gen2,,,Standard_D2s_v5")), "hand-over");
        let two = |first: &str, second: &str| format!("{header}{first}{second}");
        let (a, b) =
            (row("web-1", "azure:s/g/a", "azure-gen2,db-1,,"), row("db-1", "azure:s/g/b", "azure-gen2,,,"));
        assert_eq!(read(&two(&a, &b)).unwrap()[0].after, ["db-1"]);
        refused(&two(&a.replace("db-1", "dv-1"), &b), "there is no machine dv-1, did you mean db-1?");
        refused(&two(&a, &b.replace("azure-gen2,,", "azure-gen2,web-1,")), "waits for itself");
        refused(&two(&a, &b.replace("azure-gen2,,", "azure-gen2,,2")), "of a later wave");
        refused(&two(&a, &b.replace("db-1,", "web-1,")), "is the id of line 2, too");
        refused(&two(&a, &b.replace("/b", "/a")), "its target is that of line 2, too");
        refused(
            &format!(
                "{header}{}",
                row("a", "out.vhd", "azure-gen2,,,").replace("ebs:i-0abc@eu-west-1", "no.raw")
            ),
            "no.raw: there is no such file",
        );
        let chain = |last: &str| -> String {
            let rows = (1..3000).map(|n| {
                row(&format!("m{n}"), &format!("azure:s/g/m{n}"), &format!("azure-gen2,m{},,", n - 1))
            });
            format!("{header}{}{}", row("m0", "azure:s/g/m0", last), rows.collect::<String>())
        };
        assert_eq!(read(&chain("azure-gen2,,,")).unwrap().len(), 3000);
        refused(&chain("azure-gen2,m2999,,"), "waits for itself");
        let folder = tempfile::tempdir().unwrap();
        let [source, other] = ["a.raw", "b.raw"].map(|name| folder.path().join(name));
        std::fs::write(&source, "a").unwrap();
        std::fs::write(&other, "b").unwrap();
        let local = |id: &str, from: &Path, to: &Path| {
            format!("{id},{},{},azure-gen2,,,\n", from.display(), to.display())
        };
        refused(&format!("{header}{}", local("a", &source, &source)), "its target is its own source");
        let into = |to: &Path| {
            format!("{header}{}{}", local("a", &source, to), local("b", &other, &folder.path().join("b.vhd")))
        };
        refused(&into(&other), "its target is the source of line 3");
        refused(&into(&folder.path().join("none/a.vhd")), "there is no such folder");
        let signed = row("a", "azure:https://a.blob.core.windows.net/c/d.vhd?sv=1&sig=abc", "azure-gen2,,,");
        let said = format!("{:#}", read(&format!("{header}{signed}")).unwrap_err());
        assert!(
            said.contains("shared access signature") && !said.contains("abc&") && !said.contains("sig=abc"),
            "{said}"
        );
    }
}
