//! `refloat test-migrate`: the machine in Azure as it would be after its move, in a network of its own: does
//! it come to its login?

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use guestfix::bootwalk::HopKind;
use guestfix::facts::OsKind;
use guestfix::handover::arm;
use guestfix::handover::model::{
    AttachedDisk, Controller, EXPIRES_TAG, Handover, Network, Placement, Security, Subnet, TEST_TAG,
};
use guestfix::inspect;
use guestfix::report::{Line, Page};
use libdisk::cloud::azure::{DiskId, DiskIdError, Manager, Resource};
use libdisk::image::{Output, write_file};
use schemars::JsonSchema;
use serde::Serialize;
use testboot::{Log, Verdict};

use crate::answer::{self, Answer, Help, Outcome};
use crate::cli::{MigrateArgs, TestMigrateArgs};
use crate::context::Context;
use crate::document::Document;
use crate::migrate::{self, Migrated};
use crate::symptom::{self, Found};
use crate::{day, help, image, managed, name, next};

/// For how many days a test machine that is left may stay.
const DAYS: u64 = 3;
/// Addresses of its network, which reaches nothing.
const ADDRESSES: &str = "10.20.0.0/24";
/// Only its user may read a log: it may quote what is on the disk.
const MODE: u32 = 0o600;
/// How often a request to stop is looked for.
const LOOK: Duration = Duration::from_millis(200);

/// What a test of the move found.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TestMigrated {
    migrated: Migrated,
    /// How the machine started; absent where blockers were left.
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<Test>,
}

/// How a machine started in Azure.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Test {
    /// `SUBSCRIPTION/GROUP/MACHINE`.
    machine: String,
    #[serde(flatten)]
    verdict: Verdict,
    /// The last hop reached.
    reached: Option<HopKind>,
    /// Devices in `/etc/fstab` that systemd waited for in vain.
    waited_for: Vec<String>,
    /// What the line that shows where it stopped leads to.
    symptoms: Vec<Found>,
    /// The seconds from its start to the verdict.
    seconds: u64,
    /// The serial console's log.
    log: String,
    /// The day from which on `azure cleanup` deletes it; absent where it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_until: Option<String>,
}

impl Document for TestMigrated {
    const SCHEMA: &'static str = "refloat.test-migrate/1";
}

/// The machine that the test is of.
struct Machine<'a> {
    context: &'a Context,
    manager: &'a Manager,
    /// Its disk; the machine has the name before `-os`.
    disk: DiskId,
    name: String,
    handover: Handover,
}

/// What it said.
struct Heard {
    log: Log,
    verdict: Verdict,
    seconds: u64,
}

pub(crate) fn run(context: &Context, args: &TestMigrateArgs) -> Outcome {
    let given = args.target.strip_prefix("azure:").unwrap_or(&args.target);
    let id = machine(given).help(help::TEST)?;
    if id.is_snapshot() {
        return Err(anyhow!("{given} is a snapshot and no machine")).help(help::TEST);
    }
    if args.secure_boot && !args.managed.is_trusted() {
        return Err(anyhow!("Secure Boot is a part of trusted launch"))
            .help("add --security-type trusted-launch, or leave --secure-boot out");
    }
    let name = format!("{}-test", id.name());
    let disk = id.group.disk(&format!("{name}-os")).help(help::TEST)?;
    let log = args.log.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.serial.log")));
    let manager = managed::manager(context)?;
    let handover = handover(context, args, &manager, &disk, &name)?;
    handover
        .check()
        .map_err(|mistake| (mistake.instead, mistake))
        .map_or_else(|(instead, mistake)| Err(anyhow!(mistake)).help(instead), Ok)?;

    let tags = handover.all_tags().into_iter().filter(|(name, _)| [TEST_TAG, EXPIRES_TAG].contains(&&**name));
    let migrate = MigrateArgs {
        source: args.source.clone(),
        target: PathBuf::from(format!("azure:{disk}")),
        goal: args.goal.clone(),
        since: None,
        format: None,
        plan: None,
        allow_blockers: args.allow_blockers,
        waivers: None,
        read_back: args.read_back,
        managed: args.managed.clone().attached_by(args.attach_nvme).tagged(tags),
        force: args.force,
    };
    let machine = Machine { context, manager: &manager, disk, name, handover };
    machine.clear()?;
    let (migrated, answer) = migrate::migrated(context, &migrate)?;
    if answer == Answer::No {
        context.answer(&TestMigrated { migrated, test: None }, || Ok(Page::new()))?;
        return Ok(Answer::No);
    }
    // Once they were started, the disks are no longer what was sent.
    context.resumes.store(false, Ordering::Relaxed);
    let heard = machine.deploy().and_then(|()| machine.listen(args, &log));
    if let Err(error) = &heard
        && answer::is_cancelled(error)
    {
        let help = format!("run the same command to start over; {} deletes what it made", machine.cleanup());
        return heard.map(|_| Answer::No).help(help);
    }
    let gone = if args.keep { Ok(false) } else { machine.delete().map(|()| true) };
    // What went wrong first is what is told; what is left is found by its tag.
    let heard = heard?;
    let kept = !matches!(gone, Ok(true));
    let tested = TestMigrated { migrated, test: Some(machine.tested(heard, &log, kept)) };
    context.answer(&tested, || Ok(tested.test.as_ref().map(page).unwrap_or_default()))?;
    gone.help(format!("{} deletes what is left", machine.cleanup()))?;
    match tested.test.map(|test| test.verdict) {
        Some(Verdict::Unknown { why, .. }) => {
            let error: Result<Answer> = Err(anyhow!("no verdict: {why}"));
            error.help(format!("read {}; a longer --timeout may tell", name::shown(&log)))
        }
        verdict => Ok(Answer::from_bool(verdict == Some(Verdict::Login))),
    }
}

/// What names a machine has the form of what names a disk, and another word at its end.
fn machine(text: &str) -> Result<DiskId, DiskIdError> {
    text.parse().map_err(|error| match error {
        DiskIdError::Shape(text, _) => DiskIdError::Shape(text, "SUBSCRIPTION/GROUP/NAME"),
        DiskIdError::Name(text) => DiskIdError::MachineName(text),
        error => error,
    })
}

/// The machine around the disks: nothing but what a start needs.
fn handover(
    context: &Context,
    args: &TestMigrateArgs,
    manager: &Manager,
    disk: &DiskId,
    name: &str,
) -> Result<Handover> {
    let image = image::open(context, &args.source)?;
    let facts = inspect::gather(&image.guest_for(&args.goal)?)?;
    let count = image.machine.data_disks().len();
    // It is opened again when it is moved.
    drop(image);
    context.close();
    let further = (1..=count).map(|number| format!("{}-data{number}", disk.name()));
    let disks = std::iter::once(disk.name().to_owned()).chain(further).map(|disk| AttachedDisk::of(&disk));
    let location = match args.managed.location() {
        Some(location) => location.to_owned(),
        None => disk.group.location(manager)?,
    };
    Ok(Handover {
        name: name.to_owned(),
        group: disk.group.name().to_owned(),
        location,
        size: args.size.clone(),
        target: args.goal.target,
        os: facts.os.as_ref().map_or(OsKind::Linux, |os| os.kind),
        disks: disks.collect(),
        placement: args.managed.zone().map_or(Placement::Region, |zone| Placement::Zone(zone.to_owned())),
        network: Network {
            subnet: Subnet::Isolated(ADDRESSES.to_owned()),
            address: None,
            accelerated: false,
        },
        // As the disk's, or Azure refuses to attach that.
        security: match args.managed.is_trusted() {
            true => Security::TrustedLaunch { secure_boot: args.secure_boot },
            false => Security::Standard,
        },
        controller: if args.attach_nvme { Controller::Nvme } else { Controller::Scsi },
        licence: None,
        encryption_set: args.managed.encryption_set().map(str::to_owned),
        encryption_at_host: false,
        tags: Vec::new(),
        backup: None,
        maintenance: None,
        just_in_time: Vec::new(),
        sql: None,
        expires: Some(args.expires.clone().unwrap_or_else(|| day::in_days(DAYS))),
    })
}

impl Machine<'_> {
    /// Makes it, with its card and its network.
    fn deploy(&self) -> Result<()> {
        let Self { context, manager, disk, name, handover } = self;
        let template = serde_json::from_str(&arm::render(handover)).context("the template is no JSON")?;
        context.note(format!("making the virtual machine {name}, in a network that reaches nothing"));
        disk.group.deploy(manager, name, &template)?;
        Ok(())
    }

    /// Listens to its serial console until it has come to its login, or stopped for good, or its time is over.
    fn listen(&self, args: &TestMigrateArgs, kept: &Path) -> Result<Heard> {
        let Self { context, manager, disk, name, .. } = self;
        let output = Output { mode: MODE, ..Output::replacing(kept) };
        let (start, limit) = (Instant::now(), Duration::from_secs(args.timeout));
        let (mut said, mut grown, mut reached) = (Vec::new(), Instant::now(), None);
        loop {
            if let Some(now) = disk.group.serial_log(manager, name)?.filter(|now| *now != said) {
                write_file(&output, &now).help(help::LOG)?;
                (said, grown) = (now, Instant::now());
            }
            let log = Log::of(&said);
            if log.reached > reached {
                reached = log.reached;
                let hop = reached.map(|hop| hop.to_string()).unwrap_or_default();
                context.note(format!("{:6.0} s  {hop}", start.elapsed().as_secs_f64()));
            }
            let is_over = start.elapsed() >= limit;
            // Azure writes the log down now and then.
            let is_silent = grown.elapsed() >= log.patience + Duration::from_secs(60);
            let silent = || log.silent.clone().filter(|_| is_silent || is_over);
            let unknown = || Verdict::Unknown { hop: log.reached, why: not_done(&log, limit) };
            let verdict = log.verdict.clone().or_else(silent).or_else(|| is_over.then(unknown));
            if let Some(verdict) = verdict {
                return Ok(Heard { log, verdict, seconds: start.elapsed().as_secs() });
            }
            self.wait(Duration::from_millis(args.every))?;
        }
    }

    fn wait(&self, pause: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < pause {
            if self.context.cancel.is_cancelled() {
                return Err(answer::stopped());
            }
            std::thread::sleep(LOOK.min(pause));
        }
        Ok(())
    }

    /// What there is of it, and of an earlier one of its name, in the order of deletion.
    fn left(&self) -> Result<Vec<Resource>> {
        let mut left = self.disk.group.with_tag(self.manager, TEST_TAG)?;
        left.retain(|resource| resource.tag == self.name);
        Ok(left)
    }

    /// Deletes an earlier test of this name that came to a machine: what its disks hold now is its own. Disks
    /// alone stay, and are gone on with.
    fn clear(&self) -> Result<()> {
        if self.left()?.iter().any(Resource::is_machine) {
            self.context.note(format!("{}: an earlier test is there", self.name));
            self.delete()?;
        }
        Ok(())
    }

    /// Deletes all that it made, the disks included.
    fn delete(&self) -> Result<()> {
        self.context.note(format!("deleting {} and all that is around it", self.name));
        for resource in self.left()? {
            resource.delete(self.manager)?;
            if resource.is_disk() {
                managed::forget(&self.disk.beside(&resource.name))?;
            }
        }
        Ok(())
    }

    /// What is told of it.
    fn tested(&self, heard: Heard, log: &Path, kept: bool) -> Test {
        let Heard { log: Log { reached, waited_for, .. }, verdict, seconds } = heard;
        let symptoms = symptom::of_verdict(&verdict);
        let machine = format!("{}/{}", self.disk.group, self.name);
        let kept_until = self.handover.expires.clone().filter(|_| kept);
        Test { machine, verdict, reached, waited_for, symptoms, seconds, log: name::shown(log), kept_until }
    }

    fn cleanup(&self) -> String {
        format!("refloat azure cleanup {} --tests --yes", self.disk.group)
    }
}

fn not_done(log: &Log, limit: Duration) -> String {
    let last = log.reached.map_or("nothing was heard".to_owned(), |hop| format!("the last hop was: {hop}"));
    format!("not done after {} s; {last}", limit.as_secs())
}

/// The answer, for people.
fn page(test: &Test) -> Page {
    let mut page = Page::new();
    let mut field = |name: &str, text: &str| page.line(Line::new(format!("  {name:<10}{text}")).hang(12));
    let seconds = test.seconds;
    let (good, verdict) = match &test.verdict {
        Verdict::Login => (true, format!("boots in Azure: it asks for a login after {seconds} s")),
        Verdict::Stopped { hop, why, evidence } => {
            field("why", why);
            field("evidence", evidence);
            (false, format!("does not boot in Azure: it stops at the {hop}"))
        }
        Verdict::Unknown { why, .. } => (false, format!("no verdict: {why}")),
    };
    for symptom in &test.symptoms {
        symptom.rules().for_each(|rule| field("rule", &rule));
        field("do", symptom.advice());
    }
    for device in &test.waited_for {
        field("slow", &format!("it waited for {device}, which is not there: see /etc/fstab"));
    }
    field("log", &test.log);
    match &test.kept_until {
        Some(day) => field(
            "machine",
            &format!("azure:{} is left; from {day} on azure cleanup deletes it", test.machine),
        ),
        None => {
            field("machine", &format!("azure:{} was deleted, with its disks and its network", test.machine))
        }
    }
    let mut whole = Page::new();
    whole.gap();
    whole.line(next::verdict(good, verdict));
    whole.append(page);
    whole
}
