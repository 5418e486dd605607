//! Runs each target over its seeds.

use std::{fs, panic};

use websockets_fuzz::targets::ALL;

#[test]
fn every_seed_of_every_target_passes() {
    for (name, run) in ALL {
        let folder = format!("{}/seeds/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut count = 0;
        for entry in fs::read_dir(&folder).expect(&folder) {
            let path = entry.unwrap().path();
            let data = fs::read(&path).unwrap();
            assert!(panic::catch_unwind(|| run(&data)).is_ok(), "{}", path.display());
            count += 1;
        }
        assert!(count > 0, "{folder} is empty");
    }
}
