//! `refloat check`: will it boot there?

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use guestfix::facts::OsKind;
use guestfix::handover::licence;
use guestfix::instance::{Hardware, Instance, Performance};
use guestfix::plan;
use guestfix::platform::azure;
use guestfix::report::{self, Drift, Gate, Ink, Kind, Line, Page, Report, Waiver};
use guestfix::rules;
use guestfix::rules::packs::{self, RulePack};
use guestfix::sizing::{self, Prices, Size, Sizing, Wishes};
use guestfix::text::bytes;
use libdisk::block;
use libdisk::cloud::ebs;
use libdisk::image::{Output, write_file};

use crate::answer::{Answer, Help, Outcome};
use crate::cli::CheckArgs;
use crate::context::Context;
use crate::document::Document;
use crate::{day, help, image, name, next, snapshot};

/// The most of a file of waivers, or of an earlier report, that is read, in bytes.
const READ: u64 = 64 << 20;
/// Where prices come from.
const PRICES: &str = "save https://prices.azure.com/api/retail/prices?$filter=serviceName eq 'Virtual Machines' and armRegionName eq \
     'REGION', each page of it, and give its region by --location";

pub(crate) fn run(context: &Context, args: &CheckArgs) -> Outcome {
    free(&args.reports, args.force)?;
    let gate = gate(args)?;
    let list = args.skus.as_deref().map(skus).transpose()?;
    let prices = match &args.prices {
        Some(file) => Some(prices(file, args.location.as_deref())?),
        None if args.location.is_some() => {
            return Err(anyhow!("--location says whose prices are meant, and no prices are given"))
                .help(format!("give them by --prices FILE: {PRICES}"));
        }
        None => None,
    };
    let baseline = args.baseline.as_deref().map(read).transpose()?;
    let typed = args.instance_type.as_deref().map(instance).transpose()?;
    let image = image::open(context, &args.image)?;
    let described = image.machine.facts.as_ref().and_then(|facts| facts.described.clone());
    let kind = described.as_ref().and_then(|it| it.kind.as_deref());
    let instance = typed.or_else(|| kind.and_then(sizing::instance));
    let (tree, goal) = (image.guest_for(&args.goal)?, args.goal.goal());
    let packs = asked(args);
    let on_azure = *goal.target.platform == azure::AZURE;
    let (given, unknown) = if on_azure { given(context, &image) } else { Default::default() };
    let hardware =
        Hardware { instance: instance.as_ref(), disks: &given, sizes: list.as_deref().unwrap_or_default() };
    let check = plan::assess(&tree, &goal, &packs, hardware)?;
    let mut report = Report::new(&bytes::shown(&image.name), &tree, &goal, check);
    if let (Some(it), Some(arch)) = (&instance, report.guest.arch)
        && it.arch.starts_with("arm") != (arch.starts_with("arm") || arch == "aarch64")
    {
        return Err(anyhow!(
            "{} has processors of {}, and the system on the disk is of {arch}",
            it.kind,
            it.arch
        ))
        .help("name the type that this machine ran on");
    }
    report.detailed = !args.packs.is_empty();
    report.remarks = packs.iter().filter_map(|pack| pack.age(&gate.today)).chain(unknown).collect();
    if on_azure {
        let mut sizing = sized(&report, hardware, &image);
        if let (Some((prices, day)), Some(file)) = (&prices, &args.prices) {
            sizing.price(prices, name::shown(file), day.clone(), is_windows(&report));
        }
        report.sizing = Some(sizing);
    }
    if let Some(it) = &described {
        report.licence.extend(licence::of_instance(it.platform.as_deref(), &it.product_codes));
    }
    if let (Some(text), Some(file)) = (&baseline, &args.baseline) {
        let drift = Drift::of(text, &report).map_err(|why| anyhow!("{}: {why}", name::shown(file)));
        let drift = drift.help(
            "give a report that this refloat wrote of the same machine and target: check --report json=FILE, or --json",
        )?;
        if let Some(host) = drift.other_host(&report) {
            report.remarks.push(format!(
                "{} is of the machine {}, and this is another one: what is told to be new may be old",
                name::shown(file),
                bytes::shown(host)
            ));
        }
        report.drift = Some(drift);
    }
    if gate.is_asked() || report.drift.is_some() {
        report.gate = Some(gate.judge(&report, report.drift.as_ref()));
    }
    report.next = next::after_check(context, args, &report).iter().map(ToString::to_string).collect();
    if args.reports.iter().any(|(kind, _)| kind.shows_changes()) {
        report.changes = report.check.changes(&tree)?;
    }
    for (kind, file) in &args.reports {
        write(*kind, file, &report)?;
        if *kind == Kind::AzureMigrateCsv && instance.is_none() {
            context.note(format!(
                "note: {}: Azure Migrate wants cores and memory, which are empty: --instance-type says them",
                name::shown(file)
            ));
        }
    }
    context.answer(&report, || Ok(page(context, args, &report)))?;
    Ok(Answer::from_bool(report.gate.as_ref().map_or(report.ready, |gate| gate.passes)))
}

/// The packs that are asked, beside `boot`: what Azure itself says, unless others are named.
fn asked(args: &CheckArgs) -> Vec<&'static RulePack> {
    match args.packs.is_empty() {
        true if *args.goal.target.platform == azure::AZURE => vec![&packs::BOOT, &packs::AZURE_VM],
        true => vec![&packs::BOOT],
        false => args.packs.clone(),
    }
}

fn gate(args: &CheckArgs) -> Result<Gate> {
    for id in args.skip.iter().chain(&args.only) {
        if rules::find(id).is_none() {
            return Err(anyhow!("there is no rule {id}")).help(help::RULES);
        }
    }
    let waivers = args.waivers.as_deref().map_or(Ok(Vec::new()), waivers)?;
    Ok(Gate {
        fail_on: args.fail_on.map(Into::into),
        skip: args.skip.clone(),
        only: args.only.clone(),
        waivers,
        today: day::in_days(0),
    })
}

/// The waivers in a file.
pub(crate) fn waivers(file: &Path) -> Result<Vec<Waiver>> {
    let waivers = Waiver::read(&read(file)?).map_err(|why| anyhow!("{}: {why}", name::shown(file)));
    waivers
        .help(r#"write a list, as in [{"rule": "…", "owner": "…", "expires": "2026-12-31", "reason": "…"}]"#)
}

fn instance(kind: &str) -> Result<Instance> {
    let known = sizing::instance(kind);
    known
        .ok_or_else(|| anyhow!("{kind} is not among the types of instances of {}", sizing::sources()[1]))
        .help("give it as in m5.large; without it everything but the size is judged")
}

/// The sizes that a subscription has, by a list that az printed.
fn skus(file: &Path) -> Result<Vec<Size>> {
    let sizes = sizing::read_skus(&read(file)?).map_err(|why| anyhow!("{}: {why}", name::shown(file)));
    sizes.help("az vm list-skus --location REGION --all --output json prints such a list")
}

/// The prices of a region in a file, and the day on which it was written.
fn prices(file: &Path, region: Option<&str>) -> Result<(Prices, String)> {
    let prices = Prices::read(&read(file)?, region, &day::in_days(0));
    let prices = prices.map_err(|why| anyhow!("{}: {why}", name::shown(file))).help(PRICES)?;
    let written = fs::metadata(file).and_then(|it| it.modified()).with_context(|| name::shown(file))?;
    Ok((prices, day::of(written)))
}

/// What the volumes of an instance are given, in the order of the machine's disks, and why that is not known.
fn given(context: &Context, image: &image::Image) -> (Vec<Option<Performance>>, Option<String>) {
    let facts = image.machine.facts.as_ref();
    let Some((facts, instance)) = facts.and_then(|facts| Some((facts, facts.instance.as_deref()?))) else {
        return Default::default();
    };
    let options = ebs::Options { region: Some(facts.region.clone()), ..snapshot::options(&context.global) };
    let volumes = match ebs::Ebs::connect(&options).and_then(|ebs| ebs.volumes(instance)) {
        Ok(volumes) => volumes,
        Err(error) => {
            let why = format!("what its volumes are given is not known (ec2:DescribeVolumes): {error}");
            return (Vec::new(), Some(why));
        }
    };
    let of = |device: Option<&str>| {
        let volume = volumes.iter().find(|volume| Some(volume.device.as_str()) == device)?;
        sizing::performance(&volume.kind, volume.gib, volume.iops, volume.mibps)
    };
    (image.machine.disks().iter().map(|disk| of(disk.device.as_deref())).collect(), None)
}

fn is_windows(report: &Report) -> bool {
    report.check.facts.os.peek().as_ref().is_some_and(|os| os.kind == OsKind::Windows)
}

/// A file of text that the user names.
fn read(file: &Path) -> Result<String> {
    let size = fs::metadata(file).with_context(|| name::shown(file))?.len();
    if size > READ {
        return Err(anyhow!("{}: it has {size} bytes, and refloat reads {READ}", name::shown(file))).help("");
    }
    let text = fs::read_to_string(file).with_context(|| name::shown(file))?;
    // Windows' editors put a mark before it.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The sizes and disks of Azure's for the machine, and what its data costs on its way.
fn sized(report: &Report, hardware: Hardware<'_>, image: &image::Image) -> Sizing {
    let disks: Vec<u64> = report.machine.sizes().map(|(_, size)| size).collect();
    let nvme = report.check.facts.starts_from_nvme();
    let wishes = Wishes::of(report.goal.target.firmware, nvme, disks.len());
    let mut sizing = Sizing::new(hardware, &disks, wishes);
    let bytes = report.used();
    if image.machine.disks().iter().any(|disk| disk.origin.snapshot().is_some())
        || hardware.instance.is_some()
    {
        sizing.cost = Some(crate::forecast::cost(bytes));
    }
    sizing
}

/// Whether the reports may be written where they are to go.
fn free(reports: &[(Kind, PathBuf)], force: bool) -> Result<()> {
    for (at, (_, file)) in reports.iter().enumerate() {
        if block::check_sidecar(file).help(help::OTHER_NAME)? && !force {
            return Err(anyhow!("{} already exists", name::shown(file))).help(help::FORCE);
        }
        if reports[..at].iter().any(|(_, other)| other == file) {
            return Err(anyhow!("{} is named twice", name::shown(file))).help(help::OTHER_NAME);
        }
    }
    Ok(())
}

fn write(kind: Kind, file: &Path, report: &Report) -> Result<()> {
    image::not_read(file).help(help::OTHER_NAME)?;
    if fs::metadata(file).is_ok_and(|found| !found.is_file()) {
        return Err(anyhow!("{} is no regular file, and a report is written as one", name::shown(file)))
            .help("name a file that may be replaced");
    }
    let output = Output::replacing(file);
    // What quotes files of the guest is nobody else's to read.
    let output = if kind.shows_changes() { Output { mode: 0o600, ..output } } else { output };
    write_file(&output, report.render(kind)?.as_bytes()).help(help::OTHER_NAME)
}

impl Document for Report {
    const SCHEMA: &'static str = report::SCHEMA;
}

fn page(context: &Context, args: &CheckArgs, report: &Report) -> Page {
    let mut page = report.page(context.global.verbose > 0);
    page.line(next::verdict(report.ready, report.answer()));
    if let Some(gate) = &report.gate {
        let (ink, word) = if gate.passes { (Ink::Good, "passes") } else { (Ink::Bad, "fails") };
        let walk = gate.stops.as_ref().map(|at| format!("the boot stops at {at}, which no waiver covers"));
        let why: Vec<String> = gate.failing.iter().map(ToString::to_string).chain(walk).collect();
        let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(", ")) };
        page.line(Line::default().ink(ink, word).text(why).hang(2));
    }
    next::after_check(context, args, report).into_iter().for_each(|line| page.line(line));
    page
}
