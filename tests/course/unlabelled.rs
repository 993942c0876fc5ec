//! The course's tests of the cluster that belong to no lesson.

use crate::cluster::settings;
use crate::world::run;

#[test]

fn different_db_path() {
    run(5, &settings(), async |cluster| {
        let mut homes: Vec<_> = (1..=5).map(|store| cluster.home(store).to_owned()).collect();
        homes.sort();
        homes.dedup();
        assert_eq!(homes.len(), 5);
        assert!(!cluster.region("").await.is_uninitialized());
    });
}
