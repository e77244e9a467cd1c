//! Damaged hives and logs: an error or an answer.

#[path = "../it/recorded.rs"]
mod recorded;

use hive::{Hive, Kind};
use recorded::recorded;
use testimages::hostile;

#[global_allocator]
static MEMORY: hostile::Memory = hostile::Memory;

/// Makes the checksum of a base block right.
fn seal(file: &mut [u8]) {
    let Some((block, rest)) = file.split_at_mut_checked(508) else { return };
    let words = block.as_chunks::<4>().0.iter().take(127);
    let sum = words.fold(0, |sum, word| sum ^ u32::from_le_bytes(*word));
    let sum = if sum == 0 {
        1
    } else if sum == u32::MAX {
        u32::MAX - 1
    } else {
        sum
    };
    rest[..4].copy_from_slice(&sum.to_le_bytes());
}

fn look(file: Vec<u8>) {
    let Ok(hive) = Hive::open(file) else { return };
    let faults = hive.check();
    let mut todo: Vec<_> = hive.root().into_iter().collect();
    let mut left = 20_000;
    while let Some(key) = todo.pop() {
        left -= 1;
        if left == 0 {
            break;
        }
        let _ = (key.name(), key.class());
        key.values().into_iter().flatten().for_each(|value| drop((value.name(), value.data(), value.text())));
        todo.extend(key.subkeys().into_iter().flatten());
    }
    if let Ok(bcd) = hive.bcd() {
        for (_, object) in bcd.objects().into_iter().flatten() {
            let numbers = object.elements().unwrap_or_default();
            numbers.into_iter().for_each(|number| drop(object.element(number)));
        }
    }
    let sound = faults.iter().all(|fault| fault.harmless);
    let Ok(mut edit) = hive.edit(1) else { return assert!(!sound, "a sound hive is not changed") };
    assert!(sound, "{faults:?}");
    let path = r"Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements";
    let _ = edit.create_key(&format!(r"{path}\26000020"));
    let _ = edit.set(&format!(r"{path}\26000020"), "Element", Kind::BINARY, &[1]);
    let _ = edit.delete_key(&format!(r"{path}\12000002"));
    let after = edit.finish().unwrap();
    assert!(after.check().iter().all(|fault| fault.harmless));
}

#[test]
fn damaged_hives() {
    for name in ["regipy-BCD", "yarp-BigDataHive", "winefi-EFI-Microsoft-Boot-BCD"] {
        let Some(file) = recorded(name) else { return };
        hostile::cases(name, 2000, 64 << 20, |random| {
            let mut file = file.clone();
            hostile::damage(random, &mut file, 0..12_288);
            seal(&mut file);
            look(file);
        });
    }
}

#[test]
fn damaged_logs() {
    for (name, logs) in
        [("NewDirtyHive1-NewDirtyHive", &["LOG1", "LOG2"][..]), ("OldDirtyHive-OldDirtyHive", &["LOG1"])]
    {
        let Some(file) = recorded(&format!("yarp-{name}")) else { return };
        let logs: Vec<Vec<u8>> =
            logs.iter().map(|log| recorded(&format!("yarp-{name}.{log}")).unwrap()).collect();
        hostile::cases(name, 1000, 64 << 20, |random| {
            let (mut file, mut logs) = (file.clone(), logs.clone());
            let which = random.usize(..logs.len());
            hostile::damage(random, &mut logs[which], 0..4096);
            seal(&mut logs[which]);
            if random.bool() {
                let len = random.usize(..logs[which].len());
                logs[which].truncate(len);
            }
            hostile::damage(random, &mut file, 0..512);
            if random.bool() {
                seal(&mut file);
            }
            let logs: Vec<&[u8]> = logs.iter().map(Vec::as_slice).collect();
            if let Ok(recovered) = Hive::recover(file, &logs) {
                recovered.hive.check();
            }
        });
    }
}
