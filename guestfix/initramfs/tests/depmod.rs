//! The indexes we write are the bytes the real `depmod` writes, for whole real kernels.

mod lab;

use std::collections::BTreeMap;

use initramfs::ModuleTree;
use initramfs::kmod::alias::{Aliases, Softdeps, Table};
use initramfs::kmod::dep::Dep;
use initramfs::kmod::index::{self, Index};
use initramfs::kmod::modinfo::Modinfo;
use lab::Kernel;

fn same(name: &str, ours: &[u8], theirs: &[u8]) {
    let at = ours.iter().zip(theirs).position(|(a, b)| a != b);
    assert!(
        ours == theirs,
        "{name}: {} bytes against depmod's {}, differ at {at:?}",
        ours.len(),
        theirs.len()
    );
}

fn indexes_are_depmods(kernel: &Kernel) {
    let dep = Dep::parse(&kernel.file("modules.dep"), &kernel.kver);
    assert!(dep.lines.len() > 100);
    same("modules.dep", &dep.text(), &kernel.file("modules.dep"));
    let ours = dep.index().write("modules.dep").unwrap();
    same("modules.dep.bin", &ours, &kernel.file("modules.dep.bin"));
    assert_eq!(Index::read(&ours, "modules.dep.bin").unwrap(), dep.index());
    assert_eq!(Dep::from_index(&ours, &kernel.kver).unwrap(), dep);

    for table in [Table::Alias, Table::Symbols] {
        let name = table.name();
        let aliases = Aliases::parse(&kernel.file(name));
        assert!(aliases.lines.len() > 100);
        same(name, &aliases.text(table), &kernel.file(name));
        let index = aliases.index(table, &dep.priorities());
        let ours = index.write(name).unwrap();
        same(name, &ours, &kernel.file(&format!("{name}.bin")));
        assert_eq!(Index::read(&ours, name).unwrap(), index);
    }
    same(
        "modules.softdep",
        &Softdeps::parse(&kernel.file("modules.softdep")).text(),
        &kernel.file("modules.softdep"),
    );
}

/// What we read out of the modules themselves is what `depmod` read out of them.
fn modinfo_is_depmods(kernel: &Kernel) {
    let mut expected: BTreeMap<String, [Vec<String>; 3]> = BTreeMap::new();
    let mut add = |which: usize, module: &str, value: &str| {
        expected.entry(module.to_owned()).or_default()[which].push(value.to_owned());
    };
    for (alias, module) in Aliases::parse(&kernel.file("modules.alias")).lines {
        add(0, &module, &alias);
    }
    for (alias, module) in Aliases::parse(&kernel.file("modules.symbols")).lines {
        add(1, &module, alias.strip_prefix("symbol:").unwrap());
    }
    for (module, line) in Softdeps::parse(&kernel.file("modules.softdep")).lines {
        add(2, &module, &line);
    }
    for path in kernel.list().unwrap().into_iter().filter(|path| path.ends_with(".ko")) {
        let info = Modinfo::parse(&kernel.file(&path), &path).unwrap();
        let name = path.rsplit('/').next().unwrap().strip_suffix(".ko").unwrap().replace('-', "_");
        let mut expected = expected.remove(&name).unwrap_or_default();
        expected[1].sort();
        assert_eq!(info.kver, kernel.kver);
        assert_eq!([info.aliases, info.symbols.into_iter().collect(), info.softdeps], expected, "{path}");
    }
    assert!(expected.is_empty(), "{expected:?}");
}

#[test]
fn cloud_kernel() {
    let Some(kernel) = Kernel::cloud() else { return };
    indexes_are_depmods(&kernel);
    modinfo_is_depmods(&kernel);
}

#[test]
fn generic_kernel() {
    let Some(kernel) = Kernel::debian("linux-image-amd64") else { return };
    indexes_are_depmods(&kernel);
    modinfo_is_depmods(&kernel);
}

#[test]
fn lookup_walks_depmods_own_tries() {
    let Some(kernel) = Kernel::cloud() else { return };
    let dep = kernel.file("modules.dep.bin");
    let look = |key: &str| index::lookup(&dep, "modules.dep.bin", key).unwrap();
    assert!(look("hv_storvsc")[0].starts_with("kernel/drivers/scsi/hv_storvsc.ko: "));
    assert!(look("hv_storvs").is_empty());
    assert!(look("hv_storvscx").is_empty());
    assert!(look("").is_empty());
    let alias = kernel.file("modules.alias.bin");
    let found = index::lookup(&alias, "modules.alias.bin", "vmbus:d96361baa104294db60572e2ffb1dc7f").unwrap();
    assert_eq!(found, ["hv_storvsc"]);
}
