//! Managed disks in Azure: made, uploaded, killed and gone on with, closed; and what is left cleaned up.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use standin::{ArmServer, Asked, Credential};
use testimages::{azure_cli, judge, length, synthetic};

use crate::azure::disk;
use crate::program::{self, Refloat};

/// What no word of refloat's may hold.
const SECRETS: [&str; 5] = ["standin.bearer", "standin+secret", "standin%2Bsecret", "sig=", "hush"];

/// The stand-in, and the folder that `refloat` runs in.
pub(crate) struct Managed {
    pub(crate) server: ArmServer,
    pub(crate) folder: tempfile::TempDir,
}

impl Managed {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
        Self { server: ArmServer::start().unwrap(), folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `refloat LINE`, where `@NAME` stands for the address of a disk, with a token.
    pub(crate) fn command(&self, line: &str) -> Refloat {
        let line = line.replace('@', &format!("azure:{}/rg/", self.server.subscription()));
        let mut command = program::command(self.folder.path(), &line);
        for name in ["AZURE_RESOURCE_MANAGER", "AZURE_AUTHORITY_HOST", "AZURE_POD_IDENTITY_AUTHORITY_HOST"] {
            command.env(name, self.server.endpoint());
        }
        for name in ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLOUD"] {
            command.env_remove(name);
        }
        command
            .env("AZURE_ACCESS_TOKEN", self.server.token())
            .env("REFLOAT_STATE", self.path("state"))
            .env("REFLOAT_CACHE", self.path("cache"))
            .env("REFLOAT_LOG", "trace")
            .env("PATH", self.path("bin"));
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, command: &mut Refloat, exit: i32) -> String {
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(output.status.code(), Some(exit), "{said}");
        for secret in SECRETS {
            assert!(!said.contains(secret), "{secret} is told:\n{said}");
        }
        said
    }

    #[track_caller]
    pub(crate) fn said(&self, line: &str, exit: i32) -> String {
        self.run(&mut self.command(line), exit)
    }

    /// Whether the disk is what `refloat convert` makes of the same as a file, and is closed.
    #[track_caller]
    pub(crate) fn holds(&self, disk: &str, source: &str) {
        self.said(&format!("convert raw:{source} should.vhd --force"), 0);
        let content = self.server.content(disk).expect("a disk");
        assert!(content == fs::read(self.path("should.vhd")).unwrap(), "{disk} is not what it should be");
        assert_eq!(self.server.state(disk).as_deref(), Some("Unattached"));
    }

    /// What a role has to allow for all that was asked so far, by Azure's rule for names of operations. To look how an
    /// operation gets on takes none, and a list of a subscription has what may be read of it.
    pub(crate) fn permissions(&self) -> BTreeSet<String> {
        let of = |asked: &Asked| {
            let path = asked.path.strip_prefix("/subscriptions/")?;
            let parts: Vec<&str> = path.split('/').skip(1).collect();
            let verb = match asked.method.as_str() {
                "GET" => "read",
                "PUT" => "write",
                "DELETE" => "delete",
                _ => "action",
            };
            match parts.as_slice() {
                ["resources"] => None,
                ["resourceGroups", _] => {
                    Some(format!("Microsoft.Resources/subscriptions/resourceGroups/{verb}"))
                }
                ["resourceGroups", _, "resources"] => {
                    Some(format!("Microsoft.Resources/subscriptions/resourceGroups/resources/{verb}"))
                }
                ["resourceGroups", _, "providers", provider, kind]
                | ["resourceGroups", _, "providers", provider, kind, _] => {
                    Some(format!("{provider}/{kind}/{verb}"))
                }
                ["resourceGroups", _, "providers", provider, kind, _, what] => {
                    Some(format!("{provider}/{kind}/{what}/{verb}"))
                }
                _ => panic!("{asked:?}"),
            }
        };
        self.server.asked().iter().filter_map(of).collect()
    }

    /// The bodies that a disk was made with.
    pub(crate) fn made(&self) -> Vec<Value> {
        let asked = self.server.asked().into_iter();
        asked.filter(|asked| asked.method == "PUT").map(|Asked { body, .. }| body).collect()
    }
}

/// Azure's schema of a disk, which refuses what it does not name; `None` after a visible skip.
pub(crate) fn schema() -> Option<jsonschema::Validator> {
    fn strict(schema: &mut Value) {
        match schema {
            Value::Object(map) => {
                map.values_mut().for_each(strict);
                if map.get("type").is_some_and(|kind| kind == "object") && map.contains_key("properties") {
                    map.entry("additionalProperties").or_insert(false.into());
                }
            }
            Value::Array(all) => all.iter_mut().for_each(strict),
            _ => {}
        }
    }
    let folder = judge::shared()?.join("testdata/azure/arm");
    let read = |name: &str| serde_json::from_slice::<Value>(&fs::read(folder.join(name)).unwrap()).unwrap();
    let (mut schema, common) = (read("compute-disk-2026-03-02.json"), read("common-definitions.json"));
    strict(&mut schema);
    let mut disk = schema["resourceDefinitions"]["disks"].clone();
    disk["definitions"] = schema["definitions"].clone();
    disk["$schema"] = "http://json-schema.org/draft-04/schema#".into();
    let at = "https://schema.management.azure.com/schemas/common/definitions.json";
    let registry = jsonschema::Registry::new().add(at, common).unwrap().prepare().unwrap();
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft4);
    Some(options.with_registry(&registry).build(&disk).unwrap())
}

/// What the schema has against the body of a request that makes a disk.
pub(crate) fn judged(schema: &jsonschema::Validator, body: &Value) -> Vec<String> {
    let mut body = body.clone();
    body["name"] = "disk".into();
    body["type"] = "Microsoft.Compute/disks".into();
    body["apiVersion"] = "2026-03-02".into();
    schema.iter_errors(&body).map(|error| error.to_string()).collect()
}

/// The requests that make disks are what Azure's schema wants.
#[test]
fn what_is_asked_for_is_what_azures_schema_knows() {
    let Some(schema) = schema() else { return };
    let azure = Managed::start();
    disk(&azure.path("in.raw"), 27, 20);
    let id = |kind: &str| {
        format!(
            "/subscriptions/{}/resourceGroups/rg/providers/Microsoft.Compute/{kind}",
            azure.server.subscription()
        )
    };
    let all = format!(
        "--zone 1 --tag a=b --encryption-set {} --disk-access {} --os windows --generation 1 --accelerated-network",
        id("diskEncryptionSets/des"),
        id("diskAccesses/da")
    );
    azure.said("convert raw:in.raw @plain", 0);
    azure.said(&format!("convert raw:in.raw @full {all}"), 0);
    // What each disk is stored on.
    disk(&azure.path("data.raw"), 28, 20);
    let two = "convert raw:in.raw --disk raw:data.raw @two --sku Premium_ZRS";
    azure.said(&format!("{two} --sku Standard_LRS"), 0);
    let said = azure.said(&format!("{two} --sku Standard_LRS --sku Standard_LRS"), 2);
    assert!(said.contains("3 times, and the machine has 2 disks"), "{said}");
    let made = azure.made();
    assert_eq!(made.len(), 4);
    assert_eq!([&made[2], &made[3]].map(|body| &body["sku"]["name"]), ["Premium_ZRS", "Standard_LRS"]);
    for body in &made {
        assert_eq!(judged(&schema, body), Vec::<String>::new(), "{body}");
    }
    // It does refuse what it does not know.
    let mut wrong = made[1].clone();
    wrong["properties"]["osTyp"] = "Linux".into();
    assert!(!judged(&schema, &wrong).is_empty());
    for asked in azure.server.asked() {
        match (asked.method.as_str(), asked.path.rsplit('/').next().unwrap()) {
            ("POST", "beginGetAccess") => {
                assert_eq!(asked.body["durationInSeconds"], 86400);
                assert!(["Read", "Write"].contains(&asked.body["access"].as_str().unwrap()));
            }
            ("POST", "endGetAccess") | ("GET", _) => assert_eq!(asked.body, Value::Null),
            _ => {}
        }
    }
}

#[test]
fn a_disk_is_made_as_asked_and_holds_what_a_file_would() {
    let azure = Managed::start();
    disk(&azure.path("in.raw"), 21, 32);
    azure.server.throttle(3);
    let options = "--sku StandardSSD_LRS --zone 2 --tag owner=ops --os linux --generation 2 --nvme --location northeurope";
    let said = azure.said(&format!("convert raw:in.raw @os {options} --read-back all"), 0);
    assert!(said.contains("all of it was read back"), "{said}");
    azure.holds("os", "in.raw");
    let made = azure.made();
    let body = made.last().unwrap();
    let size = (32 << 20) + 512;
    assert_eq!(
        body["properties"]["creationData"],
        json!({ "createOption": "Upload", "uploadSizeBytes": size })
    );
    assert_eq!((&body["location"], &body["zones"]), (&json!("northeurope"), &json!(["2"])));
    assert_eq!((&body["sku"]["name"], &body["tags"]["owner"]), (&json!("StandardSSD_LRS"), &json!("ops")));
    let capabilities =
        json!({ "architecture": "x64", "diskControllerTypes": "SCSI, NVME", "acceleratedNetwork": false });
    assert_eq!(body["properties"]["supportedCapabilities"], capabilities);
    // The same again is there already, for whoever has lost the record, too.
    let puts = azure.server.blobs().blob_counts().puts;
    for lost in [false, true] {
        if lost {
            fs::remove_dir_all(azure.path("state")).unwrap();
        }
        azure.said(&format!("convert raw:in.raw @os {options}"), 0);
        assert_eq!(azure.server.blobs().blob_counts().puts, puts);
        assert_eq!(azure.server.state("os").as_deref(), Some("Unattached"));
    }
    // Another one is not written over, unless it is meant.
    disk(&azure.path("other.raw"), 22, 24);
    let said = azure.said("convert raw:other.raw @os", 2);
    assert!(said.contains("it already exists") && said.contains("--force"), "{said}");
    azure.said("convert raw:other.raw @os --force", 0);
    azure.holds("os", "other.raw");
    azure.server.other_disk("used", "Attached");
    let said = azure.said("convert raw:other.raw @used --force", 2);
    assert!(said.contains("detach it from its virtual machine"), "{said}");
}

#[test]
fn a_run_that_was_killed_goes_on_and_one_that_cannot_is_cleaned_up() {
    let azure = Managed::start();
    disk(&azure.path("in.raw"), 23, 96);
    let blobs = azure.server.blobs();
    blobs.delay(Duration::from_millis(30));
    let kill = || {
        let mut child = azure
            .command("convert raw:in.raw @os --quiet")
            .env_remove("REFLOAT_LOG")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let enough = blobs.blob_counts().puts + 4;
        while blobs.blob_counts().puts < enough && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(azure.server.state("os").as_deref(), Some("ActiveUpload"));
    };
    kill();
    kill();
    // The signature ends while it is used; the disk gives another one.
    blobs.end_signature_after(2);
    azure.said("convert raw:in.raw @os", 0);
    azure.holds("os", "in.raw");
    let again: u64 = blobs.blob_counts().pages.values().map(|times| u64::from(*times) - 1).sum();
    assert!(again <= 3 * 10 * 1024, "{again} pages of 4 KiB were sent again");
    // Where Azure opens it no second time, that is told, and there is a way out.
    azure.said("convert raw:in.raw @os --force", 0);
    azure.server.other_disk("theirs", "ActiveUpload");
    disk(&azure.path("in.raw"), 24, 96);
    let mut child = azure
        .command("convert raw:in.raw @next --quiet")
        .env_remove("REFLOAT_LOG")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while azure.server.state("next").as_deref() != Some("ActiveUpload") {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    azure.server.renews(false);
    let said = azure.said("convert raw:in.raw @next", 2);
    assert!(said.contains("no second time") && said.contains("cleanup"), "{said}");
    let group = format!("{}/rg", azure.server.subscription());
    let said = azure.run(azure.command(&format!("azure cleanup {group}")).env_remove("REFLOAT_LOG"), 0);
    assert!(
        said.contains("/next: ActiveUpload") && !said.contains("theirs") && !said.contains("/os"),
        "{said}"
    );
    assert_eq!(azure.server.state("next").as_deref(), Some("ActiveUpload"));
    azure.said(&format!("azure cleanup {group} --yes"), 0);
    assert_eq!(azure.server.state("next"), None);
    assert_eq!(azure.server.state("theirs").as_deref(), Some("ActiveUpload"));
    let said = azure.said(&format!("azure cleanup {group}"), 0);
    assert!(said.contains("no run of refloat's"), "{said}");
    blobs.delay(Duration::ZERO);
    azure.said("convert raw:in.raw @next", 0);
    azure.holds("next", "in.raw");
}

#[test]
fn whoever_is_trusted_gets_a_token_and_whoever_is_not_is_told_why() {
    let azure = Managed::start();
    disk(&azure.path("in.raw"), 25, 20);
    let group = format!("azure cleanup {}/rg", azure.server.subscription());
    let app = |pairs: &[(&str, &str)]| {
        let mut command = azure.command(&group);
        command.env_remove("AZURE_ACCESS_TOKEN").envs(pairs.iter().copied());
        command
    };
    let (tenant, client) = (("AZURE_TENANT_ID", "contoso.example"), ("AZURE_CLIENT_ID", "app"));
    azure.server.trust(Credential::Secret { tenant: "contoso.example", client: "app", secret: "hush+/=" });
    let secret = |value| ("AZURE_CLIENT_SECRET", value);
    azure.run(&mut app(&[tenant, client, secret("hush+/=")]), 0);
    for (pairs, says) in [
        ([tenant, client, secret("hushed")], "is not the secret's value"),
        ([tenant, ("AZURE_CLIENT_ID", "other"), secret("hush+/=")], "names no application"),
        ([("AZURE_TENANT_ID", "other"), client, secret("hush+/=")], "names no tenant"),
        ([("AZURE_TENANT_ID", "a/b"), client, secret("hush+/=")], "no tenant's id"),
    ] {
        let said = azure.run(&mut app(&pairs), 2);
        assert!(said.contains(says) && said.contains("az login"), "{said}");
    }
    azure.server.trust(Credential::Assertion {
        tenant: "contoso.example",
        client: "app",
        assertion: "hush.hush",
    });
    fs::write(azure.path("token"), "hush.hush\n").unwrap();
    azure.run(&mut app(&[tenant, client, ("AZURE_FEDERATED_TOKEN_FILE", "token")]), 0);
    fs::write(azure.path("token"), "hush.over").unwrap();
    let said = azure.run(&mut app(&[tenant, client, ("AZURE_FEDERATED_TOKEN_FILE", "token")]), 2);
    assert!(said.contains("AZURE_FEDERATED_TOKEN_FILE is not valid now"), "{said}");
    // The machine's own, then az, each with what it said.
    let said = azure.run(&mut app(&[]), 2);
    assert!(said.contains("az vm identity assign") && said.contains("az: it is not installed"), "{said}");
    azure.server.trust(Credential::Machine);
    azure.run(&mut app(&[]), 0);
    azure.server.trust(Credential::Secret { tenant: "x", client: "x", secret: "x" });
    fs::create_dir(azure.path("bin")).unwrap();
    let az = |text: &str| {
        let path = azure.path("bin/az");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    az("#!/bin/sh\necho \"ERROR: Please run 'az login' to setup account.\" >&2\nexit 1\n");
    let said = azure.run(&mut app(&[]), 2);
    assert!(said.contains("Please run 'az login'"), "{said}");
    let token = azure.server.token();
    az(&format!("#!/bin/sh\necho '{{\"accessToken\":\"{token}\",\"expires_on\":4102444800}}'\n"));
    azure.run(&mut app(&[]), 0);
    // A token that is over is told, and goes on with another.
    azure.server.end_tokens();
    let mut command = azure.command("convert raw:in.raw @os");
    let said = azure.run(command.env("AZURE_ACCESS_TOKEN", &token), 2);
    assert!(said.contains("the token's time is over"), "{said}");
    azure.said("convert raw:in.raw @os", 0);
    // What else can be wrong.
    let sub = azure.server.subscription();
    let other = sub.replace('0', "f");
    for (line, says) in [
        (format!("convert raw:in.raw azure:{sub}/none/os"), "make the group first"),
        (format!("convert raw:in.raw azure:{other}/rg/os"), "az account list"),
        (format!("convert raw:in.raw azure:{sub}/rg/a:b"), "no name of a managed disk"),
        ("convert raw:in.raw azure:rg/os".to_owned(), "no SUBSCRIPTION/GROUP/DISK"),
        ("convert raw:in.raw @x --format raw".to_owned(), "leave --format out"),
        ("azure cleanup rg".to_owned(), "SUBSCRIPTION/GROUP"),
    ] {
        let said = azure.said(&line, 2);
        assert!(said.contains(says), "{line}: {said}");
    }
    let mut command = azure.command("convert raw:in.raw @x");
    let said = azure.run(command.env("AZURE_CLOUD", "mars"), 2);
    assert!(said.contains("AZURE_CLOUD names no cloud"), "{said}");
}

#[test]
fn a_machine_migrates_to_managed_disks() {
    let azure = Managed::start();
    let Some(guest) = synthetic::demo().copy_into(azure.folder.path()) else { return };
    fs::rename(guest, azure.path("guest.raw")).unwrap();
    disk(&azure.path("data.raw"), 26, 24);
    let line = "migrate raw:guest.raw --disk raw:data.raw TO --for azure-gen1";
    let said = azure.said(&line.replace("TO", "@web"), 0);
    assert!(said.contains("web-data1"), "{said}");
    azure.said(&line.replace("TO", "web.vhd"), 0);
    for (disk, file) in [("web", "web.vhd"), ("web-data1", "web-data1.vhd")] {
        assert!(azure.server.content(disk).unwrap() == fs::read(azure.path(file)).unwrap(), "{disk}");
        assert_eq!(azure.server.state(disk).as_deref(), Some("Unattached"));
    }
    let generations: Vec<_> =
        azure.made().iter().map(|body| body["properties"]["hyperVGeneration"].clone()).collect();
    assert_eq!(generations, [json!("V1"), Value::Null]);
}

/// The real az makes, opens and closes disks of the stand-in: what it takes for Azure answers as Azure does. And
/// both make the same disk.
#[test]
fn the_azure_cli_takes_the_stand_in_for_azure() {
    if !length::long() {
        eprintln!("skipped: REFLOAT_LONG=1 runs az, which takes minutes to install");
        return;
    }
    let azure = Managed::start();
    let az = |line: &str| {
        let home = azure.path("az");
        let token = azure.server.token();
        let line = format!("{line} --resource-group rg --output json");
        let ran =
            azure_cli::run(&azure.server.endpoint(), azure.server.subscription(), &token, &line, &home)?;
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "az {line}\n{said}");
        Some(serde_json::from_slice::<Value>(&ran.stdout).unwrap_or_default())
    };
    disk(&azure.path("in.raw"), 28, 32);
    let size = (32 << 20) + 512;
    let create = format!(
        "disk create --name theirs --location westeurope --upload-type Upload --upload-size-bytes {size} \
         --sku Premium_LRS --hyper-v-generation V2 --os-type Linux"
    );
    let Some(made) = az(&create) else { return };
    assert_eq!(made["diskState"], "ReadyToUpload");
    let open = "disk grant-access --name theirs --access-level Write --duration-in-seconds 86400";
    let opened = az(open).unwrap();
    let sas = opened.as_object().unwrap().values().find_map(Value::as_str).unwrap().to_owned();
    azure.said(&format!("convert raw:in.raw azure:{sas}"), 0);
    az("disk revoke-access --name theirs");
    assert_eq!(az("disk show --name theirs").unwrap()["diskState"], "Unattached");
    azure.said("convert raw:in.raw @ours --os linux --generation 2", 0);
    assert!(azure.server.content("theirs") == azure.server.content("ours"));
    let bodies = azure.made();
    let [theirs, ours] = bodies.as_slice() else { panic!("{bodies:?}") };
    for field in ["creationData", "hyperVGeneration", "osType"] {
        assert_eq!(theirs["properties"][field], ours["properties"][field], "{field}");
    }
    // What refloat has made, az opens for reading; refloat reads what it says, and az closes it.
    az("disk grant-access --name ours --access-level Read --duration-in-seconds 3600");
    assert_eq!(azure.server.state("ours").as_deref(), Some("ActiveSAS"));
    azure.said("verify @ours raw:in.raw", 0);
    az("disk revoke-access --name ours");
    let listed = az("disk list").unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    az("disk delete --name theirs --yes");
    assert_eq!(azure.server.state("theirs"), None);
    // An import for trusted launch, as refloat asks for it.
    let url = azure.server.blobs().url("vhds/os.vhd");
    azure.run(&mut azure.via("convert raw:in.raw @mine --security-type trusted-launch VIA --keep-via"), 0);
    let account = bodies_account(&azure);
    az(&format!(
        "disk create --name trusted --location westeurope --source {url} --source-storage-account-id {account} \
         --security-type TrustedLaunch --hyper-v-generation V2"
    ));
    let bodies = azure.made();
    let [.., ours, theirs] = bodies.as_slice() else { panic!("{bodies:?}") };
    for field in ["creationData", "hyperVGeneration", "securityProfile"] {
        assert_eq!(theirs["properties"][field], ours["properties"][field], "{field}");
    }
}

/// The storage account of the last import.
fn bodies_account(azure: &Managed) -> String {
    let last = azure.made().pop().unwrap();
    last["properties"]["creationData"]["storageAccountId"].as_str().unwrap().to_owned()
}
