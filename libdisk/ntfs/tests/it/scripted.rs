//! Each operation that is replayed, done and taken back in logs of our own making: the volumes are those that
//! rust-fs-ntfs makes of them.

use testimages::hostile::Rng;
use testimages::length::times;

use crate::replayed::{ours, same};
use crate::support::oracle::oracle;
use crate::support::script::{script, write};

#[test]
fn each_operation_is_done_and_taken_back() {
    for cluster in [4096, 1024, 512] {
        let script = script(cluster);
        let (mut taken_back, mut changed, mut refused) = (0, 0, 0);
        for seed in 0..times(40, 1000) {
            let ([plain, copied], undone) = write(&script, &mut Rng::with_seed(seed));
            let what = format!("clusters of {cluster}, seed {seed}");
            let made = [&plain, &copied]
                .map(|volume| ours(volume).unwrap_or_else(|error| panic!("{what}: {error}")));
            same(&made[0], &made[1], &what);
            // It guesses where the ring begins, and which page a copy is of.
            match oracle(&plain) {
                Ok(theirs) => same(&made[0], &theirs, &what),
                Err(_) => refused += 1,
            }
            taken_back += undone;
            changed += made[0].dirty().len();
        }
        let cases = times(40, 1000);
        assert!(refused <= cases / 10 && taken_back > 50 && changed > 50, "{refused} {taken_back} {changed}");
    }
}
