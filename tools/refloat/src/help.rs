//! Every help line: the next step after an error, one for each cause.

use std::io::ErrorKind::{
    self, AlreadyExists, FileTooLarge, IsADirectory, NotADirectory, NotFound, PermissionDenied,
    QuotaExceeded, ReadOnlyFilesystem, StorageFull,
};

use guestfix::facts::{SignatureKind, Volume};
use libdisk::block::{self, InTheWay};
use libdisk::cloud::{Cloud, Failure, FaultKind};
use libdisk::vfs::FsError;

use crate::name;

// Where a verb knows more than the cause of the error tells.
pub(crate) const ADDRESS: &str = "refloat --help shows what an address looks like";
pub(crate) const ALLOW_BACKING: &str =
    "if you trust the image, allow its other files with --allow-backing DIR";
pub(crate) const BLOB: &str = "name it as in azure:https://ACCOUNT.blob.core.windows.net/CONTAINER/disk.vhd?SAS, or a managed disk as in \
     azure:SUBSCRIPTION/GROUP/DISK, or a snapshot of one as in azure:SUBSCRIPTION/GROUP/snapshots/NAME";
pub(crate) const BUSY: &str = "wait until it has ended, then run the same command; or write to another file";
pub(crate) const EMPTY: &str = "check that the copy or download of it is complete";
pub(crate) const EXTENSION: &str = "name the file .vhd, .vhdx, .raw or .qcow2, or add --format";
pub(crate) const FORCE: &str = "add --force to replace it, or give another name";
pub(crate) const GRUB: &str = "give --grub a folder with GRUB's boot.img and core.img for i386-pc, or with the modules for grub-mkimage";
pub(crate) const GROUP: &str =
    "name the subscription by its ID and the group: refloat azure cleanup SUBSCRIPTION/GROUP";
pub(crate) const IN_USE: &str =
    "shut the machine down or unmount the image, then try again; or work on a copy or snapshot of it";
pub(crate) const LARGE_PLAN: &str =
    "refloat migrate does the same without a plan file; or remove kernels that are not used, and plan again";
pub(crate) const LOG: &str = "give another file with --log";
pub(crate) const MAKE_A_PLAN: &str = "refloat plan IMAGE --for TARGET -o plan.json makes one";
pub(crate) const MOVED: &str =
    "if the images have moved, say where they are: --image IMAGE, and --disk IMAGE for further disks";
pub(crate) const NEEDS_QEMU: &str =
    "test boots need QEMU: install the Debian packages qemu-system-x86 and ovmf, or give --qemu PATH";
pub(crate) const NEW_PLAN: &str = "refloat plan makes a new plan for this image; nothing was written";
pub(crate) const OTHER_NAME: &str = "give the output another name";
pub(crate) const OTHER_OUTPUT: &str = "give the output another name: the source never changes";
pub(crate) const RESUME: &str = "run the same command to resume";
pub(crate) const RULES: &str = "refloat rules lists them all";
pub(crate) const FLEET: &str =
    "name a folder, s3://BUCKET/PREFIX, or azure:https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX";
pub(crate) const SAS_FILE: &str =
    "the file holds a shared access signature (sv=…&sig=…), or lines of URL?SIGNATURE";
pub(crate) const START_OVER: &str = "run the same command to start over";
pub(crate) const STEADY: &str = "nothing was written; stop what writes it, or copy it first, as cp --reflink=auto does, and convert the copy";
pub(crate) const SYMPTOM: &str = "give a line of the console, a few words of one, or the log in a file; refloat check IMAGE --for TARGET \
     looks at the disk itself";
pub(crate) const TEST: &str =
    "name the machine as in azure:SUBSCRIPTION/GROUP/NAME, the subscription by its ID";
pub(crate) const UNDO_FILE: &str = "the image and its .undo file must be as refloat left them";
pub(crate) const VOLUMES: &str = "refloat inspect IMAGE shows which volumes are there";
pub(crate) const WAIT: &str = "wait until it has ended, then try again";
pub(crate) const WHERE_IS: &str =
    "name the image after the plan if it has moved: plan --show PLAN.json IMAGE";
pub(crate) const FOLLOWS: &str =
    "a .vhd, a .raw and a page blob, azure:https://…, follow from snapshot to snapshot; or leave --since out";
pub(crate) const FINISH_FIRST: &str =
    "run the one that was not finished again: it goes on where it was stopped; then --since works";
pub(crate) const IN_FULL: &str = "leave --since out and add --force: a full migration writes all of it again; then --since works from that on";
pub(crate) const WINDOWS_AGENT: &str = "give --windows-agent the folder C:\\WindowsAzure of a machine that has the agent, or the GuestAgent_… in it, \
     with WaAppAgent.exe and WindowsAzureGuestAgent.exe";
pub(crate) const WITHOUT_SINCE: &str = "leave --since out to fetch all of the snapshot";

/// What the operating system says, where that is all there is to know and no verb knows better.
pub(crate) fn of_system(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        StorageFull | QuotaExceeded => "make room there, then run the same command again",
        FileTooLarge => {
            "raise the limit of file sizes (ulimit -f), or write to a file system that takes larger files"
        }
        PermissionDenied => "check with ls -l who may read and write it, and run refloat as that user",
        ReadOnlyFilesystem => "write to another folder: this file system is mounted read-only",
        _ => return None,
    })
}

/// Where something lies under a name that a file of refloat's own gets: nothing else helps then.
pub(crate) fn of_in_the_way(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    let InTheWay { path, .. } = cause.downcast_ref()?;
    Some(format!("move {} away, or remove it: refloat writes a file of that name", name::shown(path)))
}

/// Where a system may be in a volume that is not opened: what to do on the machine. `None` for what holds no
/// system.
pub(crate) fn of_container(volume: &Volume) -> Option<String> {
    use SignatureKind::{
        AdaptecRaid, Bcache, Bcachefs, BitLocker, DdfRaid, DynamicDisk, F2fs, Highpoint37Raid,
        Highpoint45Raid, IntelRaid, Jfs, LinuxRaid, LsiRaid, Luks, NvidiaRaid, PromiseRaid, Reiserfs,
        SiliconRaid, StorageSpaces, Stratis, Vdo, ViaRaid, Zfs,
    };
    let name = &volume.name;
    let what = match volume.kind? {
        Luks => format!(
            "decrypt {name} (cryptsetup reencrypt --decrypt), or move the system to a volume without encryption"
        ),
        BitLocker => format!("decrypt {name} in the running machine (manage-bde -off)"),
        LinuxRaid | DdfRaid | IntelRaid | LsiRaid | ViaRaid | SiliconRaid | NvidiaRaid | PromiseRaid
        | Highpoint37Raid | Highpoint45Raid | AdaptecRaid => {
            format!(
                "move the system from the array of {name} to a plain partition or a logical volume of LVM"
            )
        }
        DynamicDisk | StorageSpaces => {
            format!("move the system from {name} to a plain partition of a basic disk")
        }
        Bcache | Bcachefs | F2fs | Jfs | Reiserfs | Stratis | Vdo | Zfs => {
            format!(
                "move the system from {name} to ext4 or XFS on a plain partition or a logical volume of LVM"
            )
        }
        _ => return None,
    };
    Some(format!("if the system is in it, {what}, then take a new snapshot"))
}

/// The next step by the cause alone.
pub(crate) fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    if let Some(error) = cause.downcast_ref::<FsError>() {
        return of_guest(error);
    }
    if let Some(error) = cause.downcast_ref::<Box<FsError>>() {
        return of_guest(error);
    }
    if let Some(error) = cause.downcast_ref::<block::Error>() {
        return of_image(error);
    }
    if let Some(guestfix::Error::Malformed { .. } | guestfix::Error::Initramfs { .. }) = cause.downcast_ref()
    {
        return Some("look at that file with refloat fs, fix it in the guest, then take a new snapshot");
    }
    cause.downcast_ref::<std::io::Error>().map(|error| of_file(error.kind()))
}

/// Where nothing is known of the cause.
pub(crate) const MORE: &str = "run the same command with -v to see more";

fn of_guest(error: &FsError) -> Option<&'static str> {
    match error {
        // Not found is, here, what a directory names and is not there.
        FsError::Corrupt { .. } | FsError::NotFound => Some(
            "repair a copy with the file system's own program (e2fsck, xfs_repair, fsck.vfat, btrfs check), \
             or take a new snapshot",
        ),
        FsError::NoSpace(_) => {
            Some("make room in that file system of the guest, or enlarge it, then try again")
        }
        FsError::Unsupported(_) => {
            Some("refloat does not change such a file system; use another tool for this one")
        }
        _ => None,
    }
}

fn of_file(kind: ErrorKind) -> &'static str {
    match kind {
        NotFound => "check the name, and that the folder exists",
        IsADirectory => "this is a folder: name a file",
        NotADirectory => "a part of this path is a file: check the name",
        AlreadyExists => "give another name",
        _ => "check that the disk under these files works and has room, then try again",
    }
}

/// An image, or a layer of it.
fn of_image(error: &block::Error) -> Option<&'static str> {
    use block::ErrorKind::{Changed, Corrupt, Io, OutOfRange, Poisoned, Refused, Unsupported};
    let told = error.to_string();
    Some(match (error.kind(), error.layer()) {
        (_, "machine") => "name each disk once, and further disks as a whole",
        (_, "lvm2") => VOLUMES,
        (OutOfRange, "partition table") => "refloat inspect IMAGE shows which partitions are there",
        (Unsupported, "probe") if told.contains("first with") => {
            "do that, then name the file that comes out of it"
        }
        (Unsupported, "probe") => "name the file or snapshot that holds the disk",
        (Unsupported, "file") => "name an image file or a block device",
        (Unsupported, "ebs") => ADDRESS,
        (Unsupported, "azure") => BLOB,
        (Changed, "azure") => "make sure that nobody else writes the blob, then run the same command again",
        (Unsupported, "gzip" | "zstd" | "xz" | "bzip2") if told.contains("first with") => {
            "do that, then name the file that comes out of it"
        }
        (Unsupported, "gzip" | "zstd" | "xz" | "bzip2") => {
            "check that the image of a disk is in it: no cloud has one so large"
        }
        (Unsupported, "ova" | "packed") => "unpack it, then name the disk that comes out of it",
        (Unsupported, _) => "convert it first with qemu-img convert -O qcow2, then name the result",
        (Refused, "probe") => "say which of the two formats it is, as in raw:disk.img",
        (Refused, "qcow2" | "vhd" | "vhdx" | "vdi" | "vmdk") if told.contains("allowed") => ALLOW_BACKING,
        (Corrupt, "vhd" | "vhdx" | "qcow2" | "vdi" | "vmdk") => {
            "copy the image again; if the format was guessed wrongly, force it, as in raw:FILE"
        }
        (Corrupt, "gzip") => "copy the file again; gzip -t says what gzip makes of it",
        (Corrupt, "zstd") => "copy the file again; zstd -t says what zstd makes of it",
        (Corrupt, "xz") => "copy the file again; xz -t says what xz makes of it",
        (Corrupt, "bzip2") => "copy the file again; bzip2 -t says what bzip2 makes of it",
        (Corrupt, "ova") => "copy the file again; tar -tvf shows what is in it",
        (Corrupt, _) => "copy the image again, or take a new snapshot",
        (OutOfRange | Refused, _) if told.contains("internal snapshot") => {
            "name one of the internal snapshots of an image, by its name or ID, as in disk.qcow2@before"
        }
        (Refused, "vmdk") => "name the small file that describes the disk, with --allow-backing DIR",
        (Refused, "gzip" | "zstd" | "xz" | "bzip2") => {
            "set TMPDIR to a folder with more room, or unpack it yourself and name the result"
        }
        (OutOfRange, _) => "the image is cut short: copy it again",
        (Changed, _) => "make sure that nobody else changes the image, then try again",
        (Poisoned, _) => "an earlier write failed: check the disk under the output, then try again",
        // What the operating system said is the cause of this one, and tells more.
        (Io, _) => return None,
        _ => return None,
    })
}

/// After a request to a cloud failed for good.
pub(crate) fn of_failure(failure: &Failure) -> &'static str {
    match (failure.cloud(), failure.kind()) {
        (Cloud::Aws, kind) => of_aws(kind),
        (Cloud::Azure, kind) => of_azure(kind),
        (Cloud::AzureManager, kind) => of_manager(kind),
        (Cloud::AwsObjects, kind) => of_s3(kind),
        (Cloud::AzureObjects, kind) => of_blobs(kind),
    }
}

/// The files of a fleet in S3.
fn of_s3(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Access => {
            "allow s3:GetObject, s3:PutObject and s3:DeleteObject on what is below the prefix, and s3:ListBucket on the \
             bucket, as aws-policy.json says"
        }
        FaultKind::Region => "set AWS_REGION to the Region that the bucket is in",
        FaultKind::Throttled | FaultKind::Server | FaultKind::Damaged => {
            "run the same command again later: it goes on"
        }
        FaultKind::Invalid | FaultKind::NotFound => "check the name of the bucket, which must be there",
        FaultKind::Key => "allow kms:Decrypt and kms:GenerateDataKey on the key of the bucket",
        FaultKind::Protocol => {
            "what answers does not speak as S3 does: check AWS_ENDPOINT_URL_S3 and the proxy"
        }
        _ => of_aws(kind),
    }
}

/// The files of a fleet in a container of Azure.
fn of_blobs(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Credentials => {
            "give a shared access signature of the container in REFLOAT_AZURE_SAS or by --sas-file FILE; or log in \
             (az login), or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
        }
        FaultKind::Access => {
            "ask for a signature of the container with sp=rcwdl, or for the role that azure-state-role.json is; or open \
             the account's firewall to this machine"
        }
        FaultKind::Throttled | FaultKind::Server => "run the same command again later: it goes on",
        FaultKind::Invalid | FaultKind::NotFound => {
            "check the account and the container, which must be there"
        }
        _ => of_azure(kind),
    }
}

/// What Azure Resource Manager said has its own words where they are known; these are for its kind.
fn of_manager(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Credentials => {
            "log in (az login), or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or \
             AZURE_FEDERATED_TOKEN_FILE, or AZURE_ACCESS_TOKEN, then run the same command to resume"
        }
        FaultKind::Access => {
            "allow Microsoft.Compute/disks/read, write, delete, beginGetAccess and endGetAccess on the group, and \
             for a test machine Microsoft.Resources/deployments and Microsoft.Network; the role Contributor has all"
        }
        FaultKind::NotFound => "check the subscription, the group, which must be there, and AZURE_CLOUD",
        FaultKind::InUse => "wait until it has ended, or give another name",
        FaultKind::Attached => {
            "to read it, take a snapshot (az snapshot create) and name azure:SUBSCRIPTION/GROUP/snapshots/NAME, or stop \
             its virtual machine (az vm deallocate); to replace it, detach it from its virtual machine first"
        }
        FaultKind::Quota => {
            "ask for a larger quota (az vm list-usage --location REGION), or use another region"
        }
        FaultKind::Key => "make the disk encryption set and its key usable, or leave --encryption-set out",
        FaultKind::Throttled => {
            "others use the same subscription: run the same command again later to resume"
        }
        FaultKind::Connection => {
            "check the network, AZURE_CLOUD and AZURE_RESOURCE_MANAGER, then run the same command again"
        }
        FaultKind::Invalid => {
            "check what was asked for: the region, --sku, --size, --zone, and the IDs and variables that were given"
        }
        FaultKind::Protocol => {
            "what answers does not speak as Azure Resource Manager does: check AZURE_RESOURCE_MANAGER and the proxy"
        }
        _ => of_azure(kind),
    }
}

fn of_azure(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Expired => {
            "get a new shared access signature, then run the same command with it to resume; one that --sas-file \
             names is read again without a stop"
        }
        FaultKind::Credentials => {
            "give the blob's shared access signature behind its URL, in REFLOAT_AZURE_SAS or by --sas-file FILE, \
             whole and quoted, as its & and % mean something to a shell"
        }
        FaultKind::Access => {
            "ask for a signature that allows it: sp=r to read, sp=rcw to write, for this blob, from this address; \
             or open the account's firewall to this machine"
        }
        FaultKind::NotFound => {
            "check the account, the container, which must be there, and the name; a signature of another blob does \
             not open it"
        }
        FaultKind::OtherKind => {
            "a disk is a page blob: give it another name, or remove the blob that is there"
        }
        FaultKind::InUse | FaultKind::Attached => {
            "end the lease (az storage blob lease break), or give it another name"
        }
        FaultKind::Changed => "make sure that nobody else writes the blob, then run the same command again",
        FaultKind::Throttled => "others use the same account: run the same command again later to resume",
        FaultKind::Server => "run the same command again later to resume",
        FaultKind::Connection => {
            "check the name of the account and the network, then run the same command again"
        }
        FaultKind::Certificate => {
            "check that this machine's clock is right; if a proxy here opens TLS, name the PEM file with its CA in \
             SSL_CERT_FILE"
        }
        FaultKind::Clock => {
            "set this machine's clock (timedatectl shows it), or get a signature that begins earlier"
        }
        FaultKind::Key => "make the key of the container's encryption usable again in its key vault",
        FaultKind::Quota => "raise the limit of the account, or use another one",
        FaultKind::Damaged => {
            "run the same command again; if it fails again, something on the way changes data"
        }
        FaultKind::Proxy
        | FaultKind::Token
        | FaultKind::Region
        | FaultKind::Unrelated
        | FaultKind::Exclusion => of_aws(kind),
        FaultKind::Invalid | FaultKind::Protocol => {
            "check that the URL is that of a blob in Azure; if it is, this is a fault of refloat: please report it \
             with this message"
        }
    }
}

fn of_aws(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Throttled => {
            "others use the same quota: run the same command again later, or lower --ebs-requests-per-second"
        }
        FaultKind::Server => "run the same command again later to resume",
        FaultKind::Connection => {
            "check that the network and the region (or AWS_ENDPOINT_URL_EBS) are right, then run the same command again"
        }
        FaultKind::Certificate => {
            "check that this machine's clock is right; if a proxy here opens TLS, name the PEM file with its CA in \
             AWS_CA_BUNDLE or SSL_CERT_FILE"
        }
        FaultKind::Proxy => {
            "set HTTPS_PROXY to http://USER:PASSWORD@HOST:PORT as the proxy wants it, or NO_PROXY to the hosts that \
             need none"
        }
        FaultKind::Damaged => {
            "run the same command again; if the same block fails again, the snapshot itself is damaged"
        }
        FaultKind::Token => "run the same command again; it lists the blocks anew",
        FaultKind::Credentials => {
            "set AWS_PROFILE, or log in again (aws sts get-caller-identity tests the credentials), then run the same \
             command again"
        }
        FaultKind::Clock => {
            "set this machine's clock (timedatectl shows it), then run the same command again"
        }
        FaultKind::Region => "name the region, as in ebs:snap-0abc@eu-west-1, or set AWS_REGION",
        FaultKind::Access => {
            "allow ebs:ListSnapshotBlocks, ebs:GetSnapshotBlock and ebs:ListChangedBlocks on this snapshot, and for \
             an instance ec2:DescribeInstances and ec2:DescribeSnapshots, and ec2:DescribeVolumes for what its disks were \
             given; for a role sts:AssumeRole, and that it trusts you"
        }
        FaultKind::Key => {
            "allow kms:Decrypt with the snapshot's key, or copy the snapshot with a key that you may use"
        }
        FaultKind::NotFound => {
            "check that it is in this region and this account, and completed at least a minute ago; restore an \
             archived snapshot, or copy a public one, first"
        }
        FaultKind::Quota => {
            "raise the quota in Service Quotas (most often it is that of KMS), or run the same command again later \
             to resume"
        }
        FaultKind::Unrelated => WITHOUT_SINCE,
        FaultKind::Invalid => {
            "check that the endpoint is that of AWS; if it is, this is a fault of refloat: please report it with \
             this message"
        }
        FaultKind::Exclusion => "name a disk by its device or by its volume; the first of a machine stays",
        FaultKind::Protocol => "the endpoint does not speak the EBS direct APIs as AWS does",
        FaultKind::Expired
        | FaultKind::OtherKind
        | FaultKind::InUse
        | FaultKind::Attached
        | FaultKind::Changed => MORE,
    }
}
