//! Threads, and how the same work is done without them.
//!
//! Slow or ordered work is a [`Runner`]: a struct that is handed one task after the other. It does
//! not know what calls it. In production that is a [`Worker`], a thread with a bounded queue; in
//! tests and in the simulator it is an [`Inline`], which does nothing until it is stepped. Both are
//! fed through the same [`Tasks`], so the code that sends cannot tell them apart either.
//!
//! ```text
//!             Tasks ──┐   bounded    ┌─ Worker: a thread takes what there is
//!   callers   Tasks ──┼─ [ . . . ] ──┤            or
//!             Tasks ──┘    queue     └─ Inline: taken when the test says `step`
//! ```
//!
//! The rules of every queue here:
//!
//! - *Full.* [`Tasks::try_send`] hands the task back; the caller drops it, refuses it as busy, or
//!   tries later. [`Tasks::send`] waits; the threads that raft and clients depend on never call it.
//! - *Stop.* A worker ends when all its `Tasks` are dropped, after it has run what was accepted.
//! - *Panic.* The queue of a worker that panics is closed, and what waits in it is dropped, so that
//!   replies in it are abandoned and nobody waits for them. Then the [`Alarm`] rings that the
//!   worker was started with, and [`Worker::join`] returns the panic's text. The worker does not go
//!   on: half-done work cannot be trusted.
//!
//! This is the only file that starts a thread.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select, tick};

/// Tasks that a runner is given before it must [`flush`](Runner::flush): large enough to make one
/// flush worth it, small enough that the first task does not wait long for its effect.
pub const BATCH_MAX: usize = 256;

/// Something that does one task after the other.
pub trait Runner: Send + 'static {
    /// What it is asked to do.
    type Task: Send + 'static;

    /// Does, or begins, one task.
    fn run(&mut self, task: Self::Task);

    /// Called when no task waits, and at the latest after [`BATCH_MAX`] of them: the place to
    /// write, send or answer at once what [`run`](Runner::run) collected.
    fn flush(&mut self) {}

    /// Called at the interval of [`Worker::spawn_ticking`], between batches. A tick that comes late
    /// is not made up for.
    fn tick(&mut self) {}

    /// Called once when all senders are gone and the last task has run.
    fn stop(&mut self) {}
}

/// The sending end of a runner's queue.
pub struct Tasks<T> {
    sender: Sender<T>,
    /// For what was sent just when the queue was closed; see [`Queue`].
    leftover: Receiver<T>,
    is_closed: Arc<AtomicBool>,
    /// Nobody takes tasks while a caller of the same thread waits, so waiting would be for ever.
    is_stepped: bool,
}

/// The receiving end: closed, and emptied, when it is dropped.
///
/// A bounded channel keeps what is in it until the last sender is gone as well; a reply in there
/// would be waited for. So whoever drops the queue empties it, and as a task may arrive during
/// that, so does a sender that finds the queue closed *after* it has sent. One of the two comes
/// second and finds the task.
///
/// Loops that take from several queues hold it themselves; a [`Worker`] does it for everybody else.
#[derive(Debug)]
pub struct Queue<T> {
    receiver: Receiver<T>,
    is_closed: Arc<AtomicBool>,
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.receiver.try_iter().for_each(drop);
    }
}

impl<T> Queue<T> {
    /// A task that waits, if one does.
    pub fn try_take(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    /// How many tasks wait.
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Whether no task waits.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// The channel below, to wait for several at once.
    pub fn receiver(&self) -> &Receiver<T> {
        &self.receiver
    }
}

/// Both ends of a queue in which at most `capacity` tasks wait. `is_stepped` says that tasks are taken
/// by hand and not by a thread, so that nobody may wait for room.
pub fn queue<T>(capacity: usize, is_stepped: bool) -> (Tasks<T>, Queue<T>) {
    assert!(capacity > 0, "a queue without room refuses everything");
    let (sender, receiver) = bounded(capacity);
    let is_closed = Arc::new(AtomicBool::new(false));
    let queue = Queue { receiver: receiver.clone(), is_closed: Arc::clone(&is_closed) };
    (Tasks { sender, leftover: receiver, is_closed, is_stepped }, queue)
}

impl<T> Tasks<T> {
    /// Queues a task, or hands it back at once.
    pub fn try_send(&self, task: T) -> Result<(), Refused<T>> {
        if self.is_closed() {
            return Err(Refused::Closed(task));
        }
        // The channel itself stays connected, as these tasks hold both of its ends.
        self.sender.try_send(task).map_err(|error| Refused::Full(error.into_inner()))?;
        self.discard_if_closed();
        Ok(())
    }

    /// Queues a task, waiting for room; hands it back only when there is nobody to run it.
    pub fn send(&self, task: T) -> Result<(), Refused<T>> {
        assert!(
            !(self.is_stepped && self.sender.is_full()),
            "a blocking send to a full queue that is stepped by hand would never return"
        );
        if self.is_closed() {
            return Err(Refused::Closed(task));
        }
        self.sender.send(task).map_err(|error| Refused::Closed(error.into_inner()))?;
        self.discard_if_closed();
        Ok(())
    }

    /// Tasks that are queued and not yet taken.
    pub fn len(&self) -> usize {
        self.sender.len()
    }

    /// Whether no task waits.
    pub fn is_empty(&self) -> bool {
        self.sender.is_empty()
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    fn discard_if_closed(&self) {
        if self.is_closed() {
            self.leftover.try_iter().for_each(drop);
        }
    }
}

impl<T> Clone for Tasks<T> {
    fn clone(&self) -> Self {
        Tasks {
            sender: self.sender.clone(),
            leftover: self.leftover.clone(),
            is_closed: Arc::clone(&self.is_closed),
            is_stepped: self.is_stepped,
        }
    }
}

impl<T> fmt::Debug for Tasks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tasks({} of {:?})", self.len(), self.sender.capacity())
    }
}

/// Why a task was not queued; with the task, whose fate the caller decides.
#[derive(PartialEq, Eq)]
pub enum Refused<T> {
    /// There is no room now.
    Full(T),
    /// The worker has ended, by a panic or because the process is stopping.
    Closed(T),
}

impl<T> Refused<T> {
    /// The task that was not queued.
    pub fn into_task(self) -> T {
        match self {
            Refused::Full(task) | Refused::Closed(task) => task,
        }
    }

    /// Whether trying later may help.
    pub fn is_full(&self) -> bool {
        matches!(self, Refused::Full(_))
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Full(_) => "the queue is full",
            Refused::Closed(_) => "the worker has ended",
        })
    }
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "Full(..)" } else { "Closed(..)" })
    }
}

impl<T> std::error::Error for Refused<T> {}

/// A thread around a runner.
#[derive(Debug)]
#[must_use = "a worker that nobody joins may be cut off in the middle of its last task"]
pub struct Worker(Thread);

impl Worker {
    /// Starts a thread called `name` that runs what is sent to the returned `Tasks`, of which at
    /// most `capacity` wait at a time.
    pub fn spawn<R: Runner>(
        name: &str,
        capacity: usize,
        alarm: &Alarm,
        runner: R,
    ) -> io::Result<(Tasks<R::Task>, Worker)> {
        let (tasks, queue) = queue(capacity, false);
        let thread = Thread::spawn(name, alarm, move || run_until_closed(&queue, runner))?;
        Ok((tasks, Worker(thread)))
    }

    /// Like [`spawn`](Worker::spawn), and calls [`Runner::tick`] at every `interval`.
    pub fn spawn_ticking<R: Runner>(
        name: &str,
        capacity: usize,
        interval: Duration,
        alarm: &Alarm,
        runner: R,
    ) -> io::Result<(Tasks<R::Task>, Worker)> {
        let (tasks, queue) = queue(capacity, false);
        let thread = Thread::spawn(name, alarm, move || {
            // This channel holds one tick at most, so a late worker does not catch up.
            run_and_tick_until_closed(&queue, &tick(interval), runner);
        })?;
        Ok((tasks, Worker(thread)))
    }

    /// Waits until the worker has ended, which it does when all its `Tasks` are dropped.
    pub fn join(self) -> Result<(), Panicked> {
        self.0.join()
    }
}

fn run_until_closed<R: Runner>(queue: &Queue<R::Task>, mut runner: R) {
    while let Ok(task) = queue.receiver.recv() {
        run_batch(queue, &mut runner, task);
    }
    runner.stop();
}

fn run_and_tick_until_closed<R: Runner, I>(
    queue: &Queue<R::Task>,
    ticks: &Receiver<I>,
    mut runner: R,
) {
    loop {
        select! {
            recv(queue.receiver) -> task => match task {
                Ok(task) => run_batch(queue, &mut runner, task),
                Err(_) => break,
            },
            recv(ticks) -> _ => runner.tick(),
        }
    }
    runner.stop();
}

fn run_batch<R: Runner>(queue: &Queue<R::Task>, runner: &mut R, first: R::Task) {
    runner.run(first);
    for task in queue.receiver.try_iter().take(BATCH_MAX - 1) {
        runner.run(task);
    }
    runner.flush();
}

/// The twin of [`Worker`] without a thread: runs what was sent when it is stepped, and only then.
#[derive(Debug)]
pub struct Inline<R: Runner> {
    queue: Queue<R::Task>,
    runner: R,
}

impl<R: Runner> Inline<R> {
    /// A queue of the given capacity, and the runner to be stepped by hand.
    pub fn new(capacity: usize, runner: R) -> (Tasks<R::Task>, Inline<R>) {
        let (tasks, queue) = queue(capacity, true);
        (tasks, Inline { queue, runner })
    }

    /// Runs one task; false when none waits.
    pub fn step(&mut self) -> bool {
        let task = self.queue.receiver.try_recv();
        let found = task.is_ok();
        if let Ok(task) = task {
            self.runner.run(task);
            self.runner.flush();
        }
        found
    }

    /// Runs, in the batches that a thread would see, what waits and what is queued meanwhile;
    /// returns the number of batches.
    pub fn run_all(&mut self) -> usize {
        let mut batches = 0;
        while let Ok(task) = self.queue.receiver.try_recv() {
            run_batch(&self.queue, &mut self.runner, task);
            batches += 1;
        }
        batches
    }

    /// Passes a tick.
    pub fn tick(&mut self) {
        self.runner.tick();
    }

    /// Runs what waits and ends, as a thread does whose senders are gone; returns the runner.
    pub fn stop(mut self) -> R {
        self.run_all();
        self.runner.stop();
        self.runner
    }

    /// Tasks that wait.
    pub fn pending(&self) -> usize {
        self.queue.receiver.len()
    }

    /// The runner, for a look at its state.
    pub fn runner(&self) -> &R {
        &self.runner
    }
}

/// A named thread whose panic is reported; for loops that are not a [`Runner`] with one queue.
#[derive(Debug)]
#[must_use = "a thread that nobody joins may be cut off in the middle of its work"]
pub struct Thread {
    name: String,
    handle: JoinHandle<Result<(), Panicked>>,
}

impl Thread {
    /// Starts a thread. Linux shows the first fifteen bytes of its name.
    #[expect(clippy::disallowed_methods, reason = "this is the place that starts threads")]
    pub fn spawn(
        name: &str,
        alarm: &Alarm,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<Thread> {
        let alarm = alarm.clone();
        let own_name = name.to_owned();
        let guarded = move || {
            // Everything the body owned is gone after a panic, so nobody can see it half changed.
            let result = catch_unwind(AssertUnwindSafe(body));
            result.map_err(|payload| {
                let panicked = Panicked::new(own_name, &*payload);
                alarm.ring(&panicked);
                panicked
            })
        };
        let handle = Builder::new().name(name.to_owned()).spawn(guarded).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot start the thread {name}: {error}"))
        })?;
        Ok(Thread { name: name.to_owned(), handle })
    }

    /// Waits until the thread has ended.
    pub fn join(self) -> Result<(), Panicked> {
        // The outer error is a panic inside the alarm itself.
        self.handle.join().unwrap_or_else(|payload| Err(Panicked::new(self.name, &*payload)))
    }
}

/// What to do when a thread panics: a node makes one, and gives it to everything it starts.
///
/// It rings on the thread that panicked, after its queue was closed and its replies abandoned.
#[derive(Clone)]
pub struct Alarm(Arc<dyn Fn(&Panicked) + Send + Sync>);

impl Alarm {
    /// Calls `ring` for each thread that panics.
    pub fn new(ring: impl Fn(&Panicked) + Send + Sync + 'static) -> Self {
        Alarm(Arc::new(ring))
    }

    /// Does nothing: for owners that learn of the panic by joining.
    pub fn ignored() -> Self {
        Alarm::new(|_| {})
    }

    fn ring(&self, panicked: &Panicked) {
        (self.0)(panicked);
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alarm(..)")
    }
}

/// A thread ended by a panic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("thread {thread} panicked: {text}")]
pub struct Panicked {
    /// The thread's name.
    pub thread: String,
    /// What the panic said.
    pub text: String,
}

impl Panicked {
    fn new(thread: String, payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "(no text)".to_owned());
        Panicked { thread, text }
    }
}
