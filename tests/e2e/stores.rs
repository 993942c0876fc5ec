//! A store comes, and gets its share; a store leaves, and what it had is elsewhere before it is gone.

use proto::metapb::{Store, StoreState};
use tests::eventually;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_new_store_gets_its_share_and_an_old_one_leaves_without_a_loss() {
    let mut world = World::start(3).await;
    let rows = world.fill(1500).await;
    let regions = eventually("ten regions", async || {
        let count = world.regions().await.len();
        (count >= 10).then_some(count)
    })
    .await;
    let place = world.cluster.add_store();
    let new = world.store_id(place).await;
    eventually("a share for the new store", async || {
        let peers = world.peers().await;
        // A quarter of all replicas is its share.
        (peers.get(&new).copied().unwrap_or_default() >= regions / 2).then_some(())
    })
    .await;
    world.expect(&rows).await;

    let leaving = world.store_id(0).await;
    let address = world.cluster.store_address(0).to_owned();
    let offline = Store { id: leaving, address, state: StoreState::Offline.into() };
    world.client.scheduler().put_store(&offline).await.unwrap();
    eventually("the end of the store that leaves", async || {
        let store = world.client.scheduler().store(leaving).await.unwrap();
        let is_gone = store.is_none_or(|store| store.state() == StoreState::Tombstone);
        is_gone.then_some(())
    })
    .await;
    assert_eq!(world.peers().await.get(&leaving), None, "nothing is left on it");
    world.wait_for_replicas().await;
    world.cluster.kill_store(0);
    world.expect(&rows).await;
    // And once more without one of the others: there were three replicas.
    world.cluster.kill_store(1);
    world.expect(&rows).await;
}
