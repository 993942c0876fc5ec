//! What ends a process from outside and from within: signals, and panics.

use std::io;
use std::sync::Arc;

use runtime::shutdown::Trigger;
use runtime::worker::{Alarm, Thread};
use slog::{Logger, info};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Failure;

/// Asks the process to stop at the first signal, and ends it at the second: everything that was
/// acknowledged is safe, and whatever holds the first one up may hold for ever. The thread is the
/// process's own, so that signals are heard also while the others wait for a disk.
pub fn listen_to_signals(trigger: Trigger, logger: Logger) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::listen()?
    };
    let listen = move || {
        runtime.block_on(signals.next());
        info!(logger, "stopping: answering the calls under way; a second signal ends at once");
        trigger.ask();
        runtime.block_on(signals.next());
        std::process::exit(1);
    };
    // Nobody joins it: it listens for as long as there is a process.
    drop(Thread::spawn("signals", &Alarm::ignored(), listen)?);
    Ok(())
}

/// A panic anywhere ends the process, also one in a call: what it leaves behind cannot be trusted.
pub fn end_with_a_panic(failure: Arc<Failure>) {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        failure.report(&panic.to_string());
    }));
}

/// What a person or a supervisor says to a process that should end. Who listens has to end by itself:
/// whatever it started, it stops.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on.
    pub fn listen() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Signals { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
