//! Clients, chaos and checks side by side, in one thread.
//!
//! A test is a few tasks that mostly wait: for an answer, or for a time. Written as futures they read
//! like threads, and yet all of them run on the thread of the test, so that with a simulated clock the
//! same seed gives the same run. Whatever time passes, passes between two rounds:
//!
//! ```text
//! round     every task is polled; each that waits for a time says for which
//! between   the cluster goes on, until an answer is there or the earliest of these times has come
//! ```
//!
//! Nobody is woken by name: a round asks every task. That would be slow with thousands of them; here
//! are twenty.

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// What runs beside the test itself.
#[derive(Default)]
pub(crate) struct Tasks {
    running: RefCell<Vec<Task>>,
    /// The earliest time that anybody waits for, as far as this round knows.
    deadline: Cell<Option<Duration>>,
}

impl Tasks {
    /// Starts a task; the answer is what it comes to, for whoever wants to wait for it.
    pub(crate) fn spawn<T: 'static>(&self, task: impl Future<Output = T> + 'static) -> Spawned<T> {
        let result = Rc::new(Cell::new(None));
        let slot = Rc::clone(&result);
        let task = async move { slot.set(Some(task.await)) };
        self.running.borrow_mut().push(Box::pin(task));
        Spawned(result)
    }

    /// Says that somebody waits for a time.
    pub(crate) fn note_deadline(&self, at: Duration) {
        let known = self.deadline.get();
        self.deadline.set(Some(known.map_or(at, |known| known.min(at))));
    }

    /// Runs `main` to its end, and the other tasks as long. `pass` lets time pass up to the given one.
    pub(crate) fn run(&self, main: impl Future<Output = ()>, pass: impl Fn(Duration)) {
        let mut main = pin!(main);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            self.deadline.set(None);
            if main.as_mut().poll(&mut context).is_ready() {
                return;
            }
            if self.poll_all(&mut context) {
                continue;
            }
            pass(self.deadline.get().expect("whoever waits also has a limit"));
        }
    }

    /// Forgets all tasks, wherever they are.
    pub(crate) fn clear(&self) {
        // Outside of the borrow: a task may do anything when it is dropped.
        drop(self.running.take());
    }

    /// Whether a task has ended or begun, so that others may go on at once.
    fn poll_all(&self, context: &mut Context<'_>) -> bool {
        let mut tasks = self.running.take();
        let before = tasks.len();
        tasks.retain_mut(|task| task.as_mut().poll(context).is_pending());
        let mut running = self.running.borrow_mut();
        let has_changed = tasks.len() < before || !running.is_empty();
        tasks.append(&mut running);
        *running = tasks;
        has_changed
    }
}

/// What a task will come to. It runs whether somebody waits for it or not.
pub(crate) struct Spawned<T>(Rc<Cell<Option<T>>>);

impl<T> Future for Spawned<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        self.0.take().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Rings when something has happened that a task may wait for; from any thread.
#[derive(Default)]
pub(crate) struct Bell {
    has_rung: Mutex<bool>,
    changed: Condvar,
}

const UNPOISONED: &str = "no thread panics while it rings";

impl Bell {
    pub(crate) fn ring(&self) {
        *self.has_rung.lock().expect(UNPOISONED) = true;
        self.changed.notify_one();
    }

    /// Whether it has rung since this was last asked.
    pub(crate) fn has_rung(&self) -> bool {
        std::mem::take(&mut *self.has_rung.lock().expect(UNPOISONED))
    }

    /// Waits until it rings, or for so long.
    pub(crate) fn wait(&self, limit: Duration) {
        let rung = self.has_rung.lock().expect(UNPOISONED);
        let waited = self.changed.wait_timeout_while(rung, limit, |rung| !*rung);
        *waited.expect(UNPOISONED).0 = false;
    }
}
