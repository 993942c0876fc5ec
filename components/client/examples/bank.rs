//! A bank in a cluster: money moves between accounts, and whoever looks sees the same total.
//!
//! ```text
//! bank 127.0.0.1:2379 [looks] [tellers]
//! ```
//!
//! Kill stores meanwhile, move leaders, split regions: transfers may take longer, and a few may end with an
//! unknown outcome, but no money is made or lost. It looks every second or so, prints what it saw, and ends
//! with an error at the first wrong total.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use client::{Client, Config};
use runtime::Rng;
use runtime::clock::{Clock as _, SystemClock};

const ACCOUNTS: u64 = 100;
const EACH: u64 = 1000;

/// How transfers ended.
#[derive(Default)]
struct Counts {
    done: AtomicU64,
    begun_again: AtomicU64,
    unknown: AtomicU64,
}

fn account(number: u64) -> String {
    format!("bank/{number:03}")
}

fn amount(value: Option<&[u8]>) -> Result<u64, Box<dyn Error + Send + Sync>> {
    let text = std::str::from_utf8(value.ok_or("an account is gone")?)?;
    Ok(text.parse()?)
}

async fn found(client: &Client) -> client::Result<()> {
    let mut txn = client.begin().await?;
    for number in 0..ACCOUNTS {
        txn.put(account(number), EACH.to_string())?;
    }
    txn.commit().await?.settled().await;
    Ok(())
}

async fn transfer(client: &Client, rng: &mut Rng) -> Result<(), Box<dyn Error + Send + Sync>> {
    let from = rng.below(ACCOUNTS);
    let to = (from + 1 + rng.below(ACCOUNTS - 1)) % ACCOUNTS;
    let mut txn = client.begin().await?;
    let has = amount(txn.get(account(from)).await?.as_deref())?;
    let gets = amount(txn.get(account(to)).await?.as_deref())?;
    let sum = rng.below(10).min(has);
    txn.put(account(from), (has - sum).to_string())?;
    txn.put(account(to), (gets + sum).to_string())?;
    txn.commit().await?;
    Ok(())
}

async fn tell(
    client: Client,
    mut rng: Rng,
    counts: Arc<Counts>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    loop {
        let Err(error) = transfer(&client, &mut rng).await else {
            counts.done.fetch_add(1, Relaxed);
            continue;
        };
        match error.downcast_ref::<client::Error>() {
            Some(error) if error.is_retryable() => counts.begun_again.fetch_add(1, Relaxed),
            Some(error) if error.is_undetermined() => counts.unknown.fetch_add(1, Relaxed),
            Some(_) | None => return Err(error),
        };
    }
}

async fn check(client: &Client) -> Result<(), Box<dyn Error + Send + Sync>> {
    let snapshot = client.snapshot(client.scheduler().timestamp().await?);
    let pairs = snapshot.scan("bank/", "bank0", 1000).await?;
    let mut total = 0;
    for (_, value) in &pairs {
        total += amount(Some(value))?;
    }
    let expected = ACCOUNTS * EACH;
    if total == expected { Ok(()) } else { Err(format!("{total} in place of {expected}").into()) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:2379".to_owned());
    let looks: u64 = arguments.next().as_deref().unwrap_or("10").parse()?;
    let tellers: u64 = arguments.next().as_deref().unwrap_or("8").parse()?;
    let client = Client::connect(&[&address], Config::default()).await?;
    found(&client).await?;

    let counts = Arc::new(Counts::default());
    let mut tasks = tokio::task::JoinSet::new();
    let seed = SystemClock.wall().as_secs();
    for teller in 0..tellers {
        tasks.spawn(tell(client.clone(), Rng::new(seed + teller), Arc::clone(&counts)));
    }
    for look in 1..=looks {
        // Nothing is waited for: this is how often somebody wants to be told.
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            Some(ended) = tasks.join_next() => ended??,
        }
        check(&client).await?;
        let [done, again, unknown] =
            [&counts.done, &counts.begun_again, &counts.unknown].map(|count| count.load(Relaxed));
        writeln!(
            std::io::stdout(),
            "look {look:3}   {done} transfers, {again} begun again, {unknown} unknown; the total is right"
        )?;
    }
    Ok(())
}
