//! What is there before anything is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use runtime::Rng;
use tokio::task::JoinSet;

use crate::system::{ConnectError, Failure, Perform as _, System};
use crate::workload::Operation;

/// How many keys are written at once.
const CLIENTS: u64 = 128;

/// How often a key is tried: a region may just be looking for a leader.
const TRIES: u32 = 5;

/// Why a system has not got its keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FillError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A key was not written.
    #[error("cannot fill it with keys: {0}")]
    Failed(#[from] Failure),
}

/// Writes the first keys.
pub(crate) async fn fill(system: &System, keys: u64, seed: u64) -> Result<(), FillError> {
    let next = Arc::new(AtomicU64::new(0));
    let seed = Rng::new(seed).fork("fill");
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS.min(keys) {
        let (mut session, next) = (system.session().await?, Arc::clone(&next));
        let mut rng = seed.fork(&client.to_string());
        clients.spawn(async move {
            loop {
                let key = next.fetch_add(1, Relaxed);
                if key >= keys {
                    return Ok(());
                }
                let mut tries = 1;
                // The same again does no harm, whatever became of it.
                while let Err(failure) = session.perform(Operation::Put { key }, &mut rng).await {
                    if tries == TRIES {
                        return Err(failure);
                    }
                    tries += 1;
                }
            }
        });
    }
    while let Some(filled) = clients.join_next().await {
        filled.expect("a client does not panic")?;
    }
    Ok(())
}
