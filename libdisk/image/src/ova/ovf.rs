//! The descriptor of a machine: which disks it has, and in which files they are.
//!
//! Reference: DSP0243, "Open Virtualization Format Specification" 1.1.1 and 2.1.1, clauses 7.1 (references), 8.1
//! (hardware) and 9.1 (disks).

use std::borrow::Cow;
use std::collections::BTreeMap;

use block::{Error, Result};
use roxmltree::{Document, Node};

use super::LAYER;

/// `ResourceType` of a disk, in DSP0243 after CIM.
const DISK_DRIVE: &str = "17";

/// A disk of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OvfDisk {
    /// `diskId`.
    pub(super) id: String,
    /// Its size in bytes, as far as that is told.
    pub(super) capacity: Option<u64>,
    /// Where its content is; `None` for one that is all zeros.
    pub(super) file: Option<OvfFile>,
    /// `format`, a URL.
    pub(super) format: String,
}

/// A file that the descriptor refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OvfFile {
    /// `href`.
    pub(super) name: String,
    /// It is compressed with gzip.
    pub(super) gzip: bool,
    /// It is in pieces, `NAME.000000000` and so on.
    pub(super) in_pieces: bool,
}

fn corrupt(what: impl Into<Cow<'static, str>>) -> Error {
    Error::corrupt(LAYER, what)
}

/// An attribute, whatever namespace its prefix stands for: versions 0.9 to 2 differ in that.
fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes().find(|attribute| attribute.name() == name).map(|attribute| attribute.value())
}

fn elements<'a, 'b>(node: Node<'a, 'b>, name: &'static str) -> impl Iterator<Item = Node<'a, 'b>> {
    node.descendants().filter(move |node| node.is_element() && node.tag_name().name() == name)
}

/// The disks that a descriptor tells of, in the order in which the machine has them.
///
/// # Errors
/// `Unsupported` for several machines and for disks that stand on others; `Corrupt`.
pub(super) fn disks(text: &str) -> Result<Vec<OvfDisk>> {
    let document =
        Document::parse(text).map_err(|cause| corrupt("the descriptor is no XML").because(cause))?;
    let envelope = document.root_element();
    if envelope.tag_name().name() != "Envelope" {
        return Err(corrupt("the descriptor has no Envelope"));
    }
    let systems: Vec<_> = elements(envelope, "VirtualSystem").collect();
    if systems.len() > 1 {
        let ids: Vec<_> = systems.iter().filter_map(|system| attribute(*system, "id")).collect();
        let what = format!("{} machines in one archive ({})", systems.len(), ids.join(", "));
        return Err(Error::unsupported(LAYER, what));
    }
    let mut files = BTreeMap::new();
    for references in elements(envelope, "References") {
        for file in elements(references, "File") {
            let id = attribute(file, "id").ok_or_else(|| corrupt("a file has no id"))?;
            files.insert(id, self::file(file)?);
        }
    }
    let mut disks = Vec::new();
    for section in elements(envelope, "DiskSection") {
        for node in elements(section, "Disk") {
            disks.push(disk(node, &files)?);
        }
    }
    let order = systems.first().map(|system| attached(*system)).unwrap_or_default();
    let place = |disk: &OvfDisk| order.iter().position(|id| *id == disk.id).unwrap_or(usize::MAX);
    // Those that the machine does not have come last, as they are listed.
    disks.sort_by_key(place);
    Ok(disks)
}

fn file(node: Node<'_, '_>) -> Result<OvfFile> {
    let name = attribute(node, "href").ok_or_else(|| corrupt("a file has no href"))?;
    let gzip = match attribute(node, "compression") {
        None | Some("" | "identity") => false,
        Some("gzip") => true,
        Some(other) => return Err(Error::unsupported(LAYER, format!("a file compressed with {other:?}"))),
    };
    Ok(OvfFile { name: name.to_owned(), gzip, in_pieces: attribute(node, "chunkSize").is_some() })
}

fn disk(node: Node<'_, '_>, files: &BTreeMap<&str, OvfFile>) -> Result<OvfDisk> {
    let id = attribute(node, "diskId").ok_or_else(|| corrupt("a disk has no diskId"))?;
    if let Some(parent) = attribute(node, "parentRef") {
        return Err(Error::unsupported(LAYER, format!("the disk {id:?} stands on another one, {parent:?}")));
    }
    let file = match attribute(node, "fileRef") {
        None => None,
        Some(reference) => {
            let missing =
                || corrupt(format!("the disk {id:?} is in a file {reference:?} that is not listed"));
            Some(files.get(reference).cloned().ok_or_else(missing)?)
        }
    };
    let format = attribute(node, "format").unwrap_or_default().to_owned();
    Ok(OvfDisk { id: id.to_owned(), capacity: capacity(node), file, format })
}

/// `capacity` in units like "byte * 2^30".
fn capacity(node: Node<'_, '_>) -> Option<u64> {
    let number: u64 = attribute(node, "capacity")?.trim().parse().ok()?;
    let units = attribute(node, "capacityAllocationUnits").unwrap_or("byte");
    let factor = match units.split('*').map(str::trim).collect::<Vec<_>>().as_slice() {
        ["byte"] => 1,
        ["byte", factor] => match factor.split_once('^') {
            None => factor.parse().ok()?,
            Some((base, power)) => {
                base.trim().parse::<u64>().ok()?.checked_pow(power.trim().parse().ok()?)?
            }
        },
        _ => return None,
    };
    number.checked_mul(factor)
}

/// The disks that are in the drives of a machine, by their controllers and their places there.
fn attached(system: Node<'_, '_>) -> Vec<String> {
    let mut drives = Vec::new();
    let mut controllers: Vec<String> = Vec::new();
    for hardware in elements(system, "VirtualHardwareSection") {
        let items = hardware.children().filter(Node::is_element);
        for item in items {
            let text = |name: &'static str| {
                let found = item.children().find(|child| child.tag_name().name() == name);
                found.and_then(|found| found.text()).unwrap_or_default().trim().to_owned()
            };
            let resource = text("HostResource");
            let Some((_, id)) = resource.split_once("/disk/") else { continue };
            if text("ResourceType") != DISK_DRIVE {
                continue;
            }
            let controller = text("Parent");
            let number = controllers.iter().position(|known| *known == controller).unwrap_or_else(|| {
                controllers.push(controller);
                controllers.len().saturating_sub(1)
            });
            drives.push((number, text("AddressOnParent").parse().unwrap_or(u64::MAX), id.to_owned()));
        }
    }
    drives.sort_by_key(|(controller, address, _)| (*controller, *address));
    drives.into_iter().map(|(_, _, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use block::ErrorKind;

    use super::*;

    const OVF: &str = r#"<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
        xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
        <References><File ovf:href="data.vmdk" ovf:id="f2" ovf:size="9"/>
        <File ovf:href="os.vmdk.gz" ovf:id="f1" ovf:compression="gzip" ovf:chunkSize="7"/></References>
        <DiskSection><Info/><Disk ovf:diskId="empty" ovf:capacity="3" ovf:capacityAllocationUnits="byte * 2^20"/>
        <Disk ovf:diskId="data" ovf:fileRef="f2" ovf:capacity="1024" ovf:format="x#streamOptimized"/>
        <Disk ovf:diskId="os" ovf:fileRef="f1" ovf:capacity="8" ovf:capacityAllocationUnits="MegaBytes"/></DiskSection>
        <VirtualSystem ovf:id="vm"><VirtualHardwareSection>
        <Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceType>6</rasd:ResourceType></Item>
        <Item><rasd:AddressOnParent>1</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/data</rasd:HostResource><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
        <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>/disk/os</rasd:HostResource><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
        <Item><rasd:HostResource>ovf:/file/f9</rasd:HostResource><rasd:ResourceType>15</rasd:ResourceType></Item>
        </VirtualHardwareSection></VirtualSystem></Envelope>"#;

    #[test]
    fn disks_are_in_the_order_of_their_drives() {
        let found = disks(OVF).unwrap();
        let ids: Vec<_> = found.iter().map(|disk| &*disk.id).collect();
        assert_eq!(ids, ["os", "data", "empty"]);
        let os = OvfFile { name: "os.vmdk.gz".into(), gzip: true, in_pieces: true };
        assert_eq!((found[0].file.clone(), found[0].capacity), (Some(os), None));
        assert_eq!((found[1].capacity, found[2].capacity), (Some(1024), Some(3 << 20)));
        assert_eq!(found[2].file, None);
    }

    #[test]
    fn what_is_not_read_is_refused() {
        for (from, to, kind, text) in [
            ("</Envelope>", "<VirtualSystem ovf:id=\"b\"/></Envelope>", ErrorKind::Unsupported, "2 machines"),
            ("compression=\"gzip\"", "compression=\"lzma\"", ErrorKind::Unsupported, "\"lzma\""),
            (
                "ovf:fileRef=\"f2\"",
                "ovf:fileRef=\"f2\" ovf:parentRef=\"os\"",
                ErrorKind::Unsupported,
                "stands on",
            ),
            ("ovf:fileRef=\"f2\"", "ovf:fileRef=\"f7\"", ErrorKind::Corrupt, "not listed"),
            ("</Envelope>", "", ErrorKind::Corrupt, "no XML"),
            ("<?xml version=\"1.0\"?>", "<!DOCTYPE a [<!ENTITY x \"y\">]>", ErrorKind::Corrupt, "no XML"),
        ] {
            assert!(OVF.contains(from), "{from}");
            let error = disks(&OVF.replace(from, to)).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
