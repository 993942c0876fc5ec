//! Money moves between accounts, while answers are lost, leaders move and regions split. Whoever looks,
//! at whatever moment, sees the same total; and what was acknowledged is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use client::{Client, Error};
use runtime::Rng;

use crate::world::World;

const ACCOUNTS: u64 = 20;
const EACH: u64 = 100;
const TELLERS: u64 = 6;
const TRANSFERS: u64 = 25;

const CALM: &str = "nothing goes wrong yet";

fn account(number: u64) -> String {
    format!("a{number:02}")
}

fn amount(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).expect("balances are text");
    text.parse().expect("and numbers")
}

async fn found(client: &Client) {
    let mut founding = client.begin().await.expect(CALM);
    for number in 0..ACCOUNTS {
        founding.put(account(number), EACH.to_string()).expect(CALM);
    }
    founding.commit().await.expect(CALM);
}

/// Moves a little from one account to another. Each transfer also leaves a record of its own, so that in
/// the end it can be said which ones happened.
async fn transfer(client: &Client, rng: &mut Rng, record: &str) -> Result<bool, Error> {
    let (from, to) = (rng.below(ACCOUNTS), rng.below(ACCOUNTS));
    let mut txn = client.begin().await?;
    let read = (txn.get(account(from)).await?, txn.get(account(to)).await?);
    let (Some(has), Some(gets)) = read else { panic!("accounts do not vanish") };
    let sum = 1 + rng.below(10);
    if from == to || amount(&has) < sum {
        return Ok(false);
    }
    txn.put(account(from), (amount(&has) - sum).to_string())?;
    txn.put(account(to), (amount(&gets) + sum).to_string())?;
    txn.put(record.to_owned(), "done")?;
    txn.commit().await?;
    Ok(true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_money_is_made_or_lost_whatever_goes_wrong() {
    let world = World::start(3).await;
    let client = world.client().await;
    found(&client).await;
    world.state().chaos = 12;

    let again = Arc::new(AtomicU64::new(0));
    let mut tellers = Vec::new();
    for teller in 0..TELLERS {
        let (client, again) = (client.clone(), Arc::clone(&again));
        tellers.push(tokio::spawn(async move {
            let mut rng = Rng::new(teller);
            let mut done = Vec::new();
            for number in 0..TRANSFERS {
                let record = format!("t{teller}-{number:03}");
                loop {
                    match transfer(&client, &mut rng, &record).await {
                        Ok(true) => done.push((record, true)),
                        Ok(false) => {}
                        Err(error) if error.is_retryable() => {
                            again.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                        Err(error) => {
                            assert!(error.is_undetermined(), "{error}");
                            done.push((record, false));
                        }
                    }
                    break;
                }
            }
            done
        }));
    }
    let mut looks = 0;
    while tellers.iter().any(|teller| !teller.is_finished()) {
        let snapshot = client.snapshot(client.scheduler().timestamp().await.unwrap());
        let pairs = snapshot.scan("a", "b", 100).await.unwrap();
        let total: u64 = pairs.iter().map(|(_, value)| amount(value)).sum();
        assert_eq!((pairs.len() as u64, total), (ACCOUNTS, ACCOUNTS * EACH), "{pairs:?}");
        looks += 1;
    }
    let mut acknowledged = 0;
    for teller in tellers {
        for (record, is_certain) in teller.await.unwrap() {
            let found = client.begin().await.unwrap().get(record.clone()).await.unwrap();
            assert!(found.is_some() || !is_certain, "{record} was acknowledged");
            acknowledged += u64::from(is_certain);
        }
    }
    // It saw what it is for.
    assert!(looks > 3 && acknowledged > TELLERS * TRANSFERS / 2, "{looks} {acknowledged}");
    assert!(again.load(Ordering::Relaxed) > 0, "somebody was second");
    assert!(world.state().regions.len() > 3, "regions were split");
    assert!(world.count("kv_check_txn_status") > 0, "somebody met a lock");
}
