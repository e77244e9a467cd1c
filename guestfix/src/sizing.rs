//! Sizes of Azure's for a machine "as on-premises": what holds the processors and the memory of its type of
//! instance, and its disks. Nothing is known of how much of that it uses.

mod disks;
mod prices;
mod skus;
mod volumes;

use std::io::Read;
use std::sync::LazyLock;

use serde::Serialize;

use crate::instance::{Hardware, Instance, Performance};
use crate::platform::Firmware;

pub use disks::{DiskTier, Tier};
pub use prices::{List, Price, Prices};
pub use skus::read as read_skus;
pub use volumes::performance;

/// The tables, with what they are and whose licence in their first line.
const AZURE: &[u8] = include_bytes!("sizing/azure.csv.xz");
const EC2: &[u8] = include_bytes!("sizing/ec2.csv.xz");
/// The most that a table unpacks to, in bytes.
const TABLE: u64 = 1 << 20;

/// A size of Azure's virtual machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Size {
    /// "Standard_D2s_v5".
    pub name: String,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Accelerators.
    pub gpus: u32,
    /// Its processors are Arm's.
    pub arm: bool,
    /// The most data disks, where a list of sizes says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_disks: Option<u32>,
    /// The most network cards, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cards: Option<u32>,
    /// Whether it takes machines that start by BIOS, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_1: Option<bool>,
    /// Whether it attaches disks by SCSI, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scsi: Option<bool>,
}

/// What a table says of itself.
pub fn source(table: &str) -> &str {
    table.lines().next().unwrap_or_default().trim_start_matches("# ")
}

fn unpacked(table: &[u8]) -> String {
    let mut text = String::new();
    // Of our own tables both can be read.
    let reader = lzma_rust2::XzReader::new(table, false);
    let _ = reader.take(TABLE).read_to_string(&mut text);
    text
}

static AZURE_TEXT: LazyLock<String> = LazyLock::new(|| unpacked(AZURE));
static EC2_TEXT: LazyLock<String> = LazyLock::new(|| unpacked(EC2));
static SIZES: LazyLock<Vec<Size>> = LazyLock::new(|| AZURE_TEXT.lines().filter_map(size).collect());

fn size(line: &str) -> Option<Size> {
    let [name, vcpus, memory, gpus, arch] = line.split(',').collect::<Vec<_>>().try_into().ok()?;
    Some(Size {
        name: format!("Standard_{name}"),
        vcpus: vcpus.parse().ok()?,
        memory_mib: memory.parse().ok()?,
        gpus: gpus.parse().ok()?,
        arm: arch == "r",
        data_disks: None,
        cards: None,
        generation_1: None,
        scsi: None,
    })
}

/// All sizes of Azure's that are known.
pub fn sizes() -> &'static [Size] {
    &SIZES
}

/// The type of instances of this name, if it is known.
pub fn instance(kind: &str) -> Option<Instance> {
    let line = EC2_TEXT.lines().find(|line| line.split(',').next() == Some(kind))?;
    let fields: Vec<&str> = line.split(',').collect();
    let [kind, vcpus, memory, arch, metal, cards, iops, mbps, local, gpus] = fields.try_into().ok()?;
    let number = |text: &str| text.parse().unwrap_or(0);
    Some(Instance {
        kind: kind.to_owned(),
        vcpus: vcpus.parse().ok()?,
        memory_mib: memory.parse().ok()?,
        arch: arch.split('|').next_back().unwrap_or(arch).to_owned(),
        gpus: number(gpus),
        cards: number(cards),
        local_gb: local.parse().unwrap_or(0),
        metal: metal == "1",
        iops: number(iops),
        mbps: number(mbps),
    })
}

/// Where both tables are from.
pub fn sources() -> [&'static str; 2] {
    [source(&AZURE_TEXT), source(&EC2_TEXT)]
}

/// Whether an instance is a Mac, whatever its processors are: EC2 has "x86_64_mac" and "arm64_mac" for its architecture.
fn is_mac(it: &Instance) -> bool {
    it.arch.ends_with("_mac")
}

/// The sizes of a list that hold an instance, whatever they are for; a Mac has none.
pub fn fits<'a>(it: &Instance, sizes: &'a [Size]) -> impl Iterator<Item = &'a Size> {
    let (vcpus, memory, gpus, arm) = (it.vcpus, it.memory_mib, it.gpus, it.arch.starts_with("arm"));
    let mac = is_mac(it);
    sizes.iter().filter(move |size| {
        !mac && size.vcpus >= vcpus && size.memory_mib >= memory && size.gpus >= gpus && size.arm == arm
    })
}

/// A name of a size, taken apart ("Azure VM sizes naming conventions", Microsoft Learn, 2026).
struct Name<'a> {
    family: &'a str,
    constrained: bool,
    letters: &'a str,
    version: u32,
}

impl<'a> Name<'a> {
    fn of(size: &'a Size) -> Self {
        let name = size.name.strip_prefix("Standard_").unwrap_or(&size.name);
        let (first, rest) = name.split_once('_').unwrap_or((name, ""));
        let version = rest.rsplit('_').next().and_then(|text| text.strip_prefix('v'));
        let digit = first.find(|c: char| c.is_ascii_digit()).unwrap_or(first.len());
        let (family, behind) = first.split_at(digit);
        let letters = behind.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
        Self {
            family,
            constrained: first.contains('-'),
            letters,
            version: version.and_then(|text| text.parse().ok()).unwrap_or(1),
        }
    }

    /// Whether it is of use for what is nothing special: general, for computing or for memory.
    fn is_general(&self) -> bool {
        matches!(self.family, "D" | "E" | "F" | "M") && !self.constrained && !self.letters.contains('i')
    }
}

/// What was asked for a size beside processors and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// It must take machines that start by BIOS.
    pub generation_1: bool,
    /// It must attach disks by SCSI.
    pub scsi: bool,
    /// So many data disks.
    pub data_disks: usize,
}

impl Wishes {
    /// What a machine asks: it starts by this firmware, has these disks in all, and can start from NVMe or not.
    pub fn of(firmware: Firmware, nvme: bool, disks: usize) -> Self {
        Self { generation_1: firmware == Firmware::Bios, scsi: !nvme, data_disks: disks.saturating_sub(1) }
    }

    /// Whether a size has what is wished. Where no list says so, sizes from version 6 on have NVMe disks and
    /// generation 2 alone, and any number of disks is taken.
    fn are_met(self, size: &Size, name: &Name<'_>) -> bool {
        let newest = name.version >= NVME;
        let generation = !self.generation_1 || size.generation_1.unwrap_or(!newest);
        let controller = !self.scsi || size.scsi.unwrap_or(!newest);
        let disks = size
            .data_disks
            .is_none_or(|most| usize::try_from(most).is_ok_and(|most| self.data_disks <= most));
        generation && controller && disks
    }
}

/// From this version of a family on, disks are NVMe and the firmware is UEFI.
const NVME: u32 = 6;

/// The sizes that hold an instance, the one that fits best first: fewest processors, least memory, premium
/// disks, a local disk where the instance had one, the newest version.
pub fn best<'a>(it: &Instance, wishes: Wishes, sizes: &'a [Size]) -> Vec<&'a Size> {
    let local = it.local_gb > 0;
    let burstable = it.kind.starts_with('t');
    let mut found: Vec<(&Size, Name<'_>)> = fits(it, sizes).map(|size| (size, Name::of(size))).collect();
    found.retain(|(size, name)| wishes.are_met(size, name));
    found.sort_by_key(|(size, name)| {
        let special = !(name.is_general() || it.gpus > 0 || (burstable && name.family == "B"));
        let odd = u32::from(!name.letters.contains('s')) * 4
            + u32::from(name.letters.contains('d') != local) * 2
            + u32::from(name.letters.contains('b')) * 2
            + u32::from(
                name.letters.contains('a') != it.kind.split('.').next().is_some_and(|it| it.ends_with('a')),
            );
        let burst = burstable != (name.family == "B");
        (special, size.vcpus, size.memory_mib, burst, odd, std::cmp::Reverse(name.version), size.name.clone())
    });
    found.into_iter().map(|(size, _)| size).collect()
}

/// Why no size of a list holds an instance and takes what is wished, in words; `None` if one does.
pub fn why_none(it: &Instance, wishes: Wishes, sizes: &[Size]) -> Option<String> {
    if is_mac(it) {
        return Some(format!("{} is a Mac, and Azure has none", it.kind));
    }
    if fits(it, sizes).next().is_none() {
        return Some(format!(
            "no size has {} processors, {} MiB of memory and {} accelerators for {}",
            it.vcpus, it.memory_mib, it.gpus, it.arch
        ));
    }
    let generation = if wishes.generation_1 { "generation 1" } else { "generation 2" };
    let bus = if wishes.scsi { ", disks by SCSI" } else { "" };
    best(it, wishes, sizes).is_empty().then(|| {
        format!("no size that is large enough takes it: {generation}{bus}, {} data disks", wishes.data_disks)
    })
}

/// What Azure would give the machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sizing {
    /// What it ran on, if that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<Instance>,
    /// The size that fits best, then two more; none without an instance.
    pub sizes: Vec<Size>,
    /// Why there is none for an instance that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_size: Option<String>,
    /// What the sizes cost, where a list of prices was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<List>,
    /// A kind and tier for each disk, that of the system first.
    pub disks: Vec<DiskTier>,
    /// What it costs to take the data out of AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// What the sizes were chosen by.
    pub confidence: &'static str,
    /// Where the tables are from.
    pub sources: Vec<String>,
}

/// What it costs to take the data out of AWS, in US dollars.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cost {
    /// The most bytes that are moved: all that file systems use, and all of what is no known file system.
    pub bytes: u64,
    /// For requests of blocks of a snapshot.
    pub requests: f64,
    /// For what leaves AWS.
    pub egress: f64,
    /// Of which price list.
    pub source: String,
}

impl Cost {
    /// "at most $0.01 of requests and $0.02 of egress": what is the most is rounded up.
    pub fn at_most(&self) -> String {
        let [requests, egress] = [self.requests, self.egress].map(cents_up);
        format!("at most ${requests:.2} of requests and ${egress:.2} of egress")
    }
}

/// Dollars as whole cents, rounded up. What a float adds to a whole number of cents is not a cent more.
pub fn cents_up(dollars: f64) -> f64 {
    (dollars * 100.0 - 1e-6).ceil().max(0.0) / 100.0
}

/// That nothing is known of the load.
const CONFIDENCE: &str =
    "as on-premises: by processors, memory and the sizes of disks; there is no performance data";
/// The same where it is known what volumes were given.
const CONFIDENCE_OF_GIVEN: &str = "as on-premises: by processors, memory and what disks were given; there is no \
                                   performance data, so how much of it is used is not known";

impl Sizing {
    /// For a machine with disks of these sizes in bytes.
    pub fn new(hardware: Hardware<'_>, disks: &[u64], wishes: Wishes) -> Self {
        let Hardware { instance, disks: given, .. } = hardware;
        let found = instance.map(|it| best(it, wishes, hardware.sizes())).unwrap_or_default();
        let known = given.iter().any(Option::is_some);
        let volumes = known.then_some(volumes::SOURCE);
        Self {
            instance: instance.cloned(),
            sizes: found.into_iter().take(3).cloned().collect(),
            no_size: instance.and_then(|it| why_none(it, wishes, hardware.sizes())),
            prices: None,
            disks: tiers(disks, given),
            cost: None,
            confidence: if known { CONFIDENCE_OF_GIVEN } else { CONFIDENCE },
            sources: sources().into_iter().chain([disks::SOURCE]).chain(volumes).map(str::to_owned).collect(),
        }
    }

    /// Says what the sizes cost by a list in a file of this day.
    pub fn price(&mut self, prices: &Prices, file: String, date: String, windows: bool) {
        let Prices { region, currency, partial, .. } = prices;
        // Without an instance there is no size to have a price.
        self.prices = (!self.sizes.is_empty()).then(|| List {
            file,
            date,
            region: region.clone(),
            currency: currency.clone(),
            windows,
            partial: *partial,
            sizes: self.sizes.iter().map(|size| prices.of(&size.name, windows)).collect(),
        });
    }
}

/// What each disk of a machine may be, by its size in bytes and what its volume was given, where that is known.
pub(crate) fn tiers(sizes: &[u64], given: &[Option<Performance>]) -> Vec<DiskTier> {
    let of = |(number, size): (usize, &u64)| {
        let given = given.get(number).and_then(Option::as_ref);
        disks::tier(*size, given, number == 0)
    };
    sizes.iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_whole() {
        assert!(sizes().len() > 1300, "{}", sizes().len());
        assert!(sources().iter().all(|source| source.contains("Apache-2.0") && source.contains("2026")));
        let it = instance("m5.large").unwrap();
        assert_eq!(
            (it.vcpus, it.memory_mib, it.arch.as_str(), it.cards, it.metal),
            (2, 8192, "x86_64", 3, false)
        );
        assert_eq!(instance("p5.48xlarge").map(|it| (it.gpus, it.local_gb)), Some((8, 30_400)));
        assert_eq!(instance("m5.enormous"), None);
    }

    #[test]
    fn an_instance_gets_the_size_that_holds_it() {
        let best = |kind: &str, old| {
            let it = instance(kind).unwrap();
            let wishes = Wishes { generation_1: old, scsi: old, data_disks: 1 };
            best(&it, wishes, sizes()).first().map(|size| size.name.clone()).unwrap_or_default()
        };
        assert_eq!(best("m5.large", true), "Standard_D2s_v5");
        assert_eq!(best("m5a.large", true), "Standard_D2as_v5");
        assert_eq!(best("r5.2xlarge", true), "Standard_E8s_v5");
        assert_eq!(best("t3.medium", true), "Standard_B2ls_v2");
        assert!(best("m5.large", false).ends_with("_v6"), "{}", best("m5.large", false));
        assert!(best("m6g.large", true).contains('p'), "{}", best("m6g.large", true));
        assert!(best("g4dn.xlarge", true).starts_with("Standard_N"), "{}", best("g4dn.xlarge", true));
        for kind in ["m5.large", "c5.4xlarge", "x1.32xlarge", "i3.large"] {
            let it = instance(kind).unwrap();
            assert!(
                fits(&it, sizes()).all(|size| size.vcpus >= it.vcpus && size.memory_mib >= it.memory_mib)
            );
        }
    }

    #[test]
    fn what_has_no_size_is_told() {
        let why = |kind: &str| why_none(&instance(kind).unwrap(), Wishes::default(), sizes());
        assert_eq!(why("m5.large"), None);
        for mac in ["mac1.metal", "mac2.metal"] {
            assert_eq!(fits(&instance(mac).unwrap(), sizes()).count(), 0, "{mac}");
            assert_eq!(why(mac), Some(format!("{mac} is a Mac, and Azure has none")));
        }
        let large = instance("p5.48xlarge").unwrap();
        let hardware = Hardware { instance: Some(&large), ..Hardware::default() };
        let sizing = Sizing::new(hardware, &[1 << 30], Wishes::default());
        assert!(sizing.sizes.is_empty());
        assert!(sizing.no_size.is_some_and(|why| why.contains("192 processors")));
    }

    #[test]
    fn what_is_the_most_is_rounded_up() {
        for (dollars, cents) in
            [(0.0, "0.00"), (0.000_1, "0.01"), (0.09, "0.09"), (0.29, "0.29"), (1.231, "1.24")]
        {
            assert_eq!(format!("{:.2}", cents_up(dollars)), cents);
        }
        let cost = Cost { bytes: 1, requests: 0.000_01, egress: 0.101, source: String::new() };
        assert_eq!(cost.at_most(), "at most $0.01 of requests and $0.11 of egress");
    }

    #[test]
    fn a_size_that_takes_too_few_disks_is_none() {
        let it = instance("m5.large").unwrap();
        let named = |name: &str, data_disks, generation_1| Size {
            name: name.to_owned(),
            data_disks: Some(data_disks),
            generation_1: Some(generation_1),
            ..sizes().iter().find(|size| size.name == "Standard_D2s_v5").unwrap().clone()
        };
        let list = [named("Standard_D2s_v5", 4, true), named("Standard_D4s_v5", 8, false)];
        let best = |generation_1, data_disks| {
            let wishes = Wishes { generation_1, scsi: false, data_disks };
            best(&it, wishes, &list).first().map(|size| size.name.clone())
        };
        assert_eq!(best(true, 4).as_deref(), Some("Standard_D2s_v5"));
        assert_eq!(best(false, 5).as_deref(), Some("Standard_D4s_v5"));
        assert_eq!(best(true, 5), None);
    }
}
