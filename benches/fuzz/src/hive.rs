//! Hives of the registry of Windows: read as a whole, changed, completed by their logs.

use ::hive::{Hive, Kind, diff};

/// A hive, whose checksum is made right.
pub fn hive(input: &[u8]) {
    let mut file = input.to_vec();
    seal(&mut file);
    if let Ok(hive) = Hive::open(file) {
        exercise(hive);
    }
}

/// A hive and its log: the number of the hive's bytes (32 bits, the lowest byte first), the hive, the log. The
/// checksums of both are made right.
pub fn hive_log(input: &[u8]) {
    let Some((len, rest)) = input.split_first_chunk() else { return };
    let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
    let (file, log) = rest.split_at(len.min(rest.len()));
    let (mut file, mut log) = (file.to_vec(), log.to_vec());
    seal(&mut file);
    seal(&mut log);
    if let Ok(recovered) = Hive::recover(file, &[&log]) {
        exercise(recovered.hive);
    }
}

/// Looks at all that is in it, and changes it where it is sound.
fn exercise(hive: Hive) {
    let sound = hive.check().iter().all(|fault| fault.harmless);
    let _ = diff(&hive, &hive);
    if let Ok(store) = hive.bcd() {
        let _ = store.default_object();
        for (_, object) in store.objects().into_iter().flatten() {
            object.elements().into_iter().flatten().for_each(|number| drop(object.element(number)));
        }
    }
    let Ok(mut edit) = hive.edit(1) else { return assert!(!sound, "a sound hive is not changed") };
    let _ = edit.create_key(r"Objects\{a}\Elements");
    let _ = edit.set(r"Objects\{a}\Elements", "Element", Kind::BINARY, &[1; 100]);
    let _ = edit.delete_key("Description");
    let after = edit.finish().expect("a changed hive is sound");
    assert!(after.check().iter().all(|fault| fault.harmless), "it is sound after a change");
}

/// Makes the checksum of a base block right.
fn seal(file: &mut [u8]) {
    let Some((block, rest)) = file.split_at_mut_checked(508) else { return };
    let sum = block.as_chunks::<4>().0.iter().fold(0, |sum, word| sum ^ u32::from_le_bytes(*word));
    let sum = match sum {
        0 => 1,
        u32::MAX => u32::MAX - 1,
        sum => sum,
    };
    if let Some(place) = rest.first_chunk_mut() {
        *place = sum.to_le_bytes();
    }
}
