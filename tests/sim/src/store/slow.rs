//! A worker whose work takes time.
//!
//! What it does shows on the disks at once, as of that moment; the store learns of it later. In between
//! anything may happen: the region is split that a snapshot was built of, its members change, the store
//! crashes and never learns of it.
//!
//! ```text
//!   store ──► queue ── a step, at one event ──► reports ── all of them, at a later one ──► store
//! ```
//!
//! The worker does nothing more before its reports are handed on, like a thread that is busy all that time.

use raftstore::Completion;
use runtime::worker::{self, Inline, Queue, Runner, Tasks};

/// More reports than one step makes: of each batch that waited to be applied, and of each peer that goes.
const REPORTS_MAX: usize = 4096;

/// See the [module](self).
pub(crate) struct Slow<R: Runner> {
    worker: Inline<R>,
    reports: Queue<Completion>,
    store: Tasks<Completion>,
}

/// What [`Slow::advance`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Did {
    Work,
    Report,
}

impl<R: Runner> Slow<R> {
    /// A queue of the given capacity, and the worker. `report_to` tells it where it reports to, and returns
    /// where it would have.
    pub(crate) fn new(
        capacity: usize,
        mut runner: R,
        report_to: fn(&mut R, Tasks<Completion>) -> Tasks<Completion>,
    ) -> (Tasks<R::Task>, Self) {
        let (own, reports) = worker::queue(REPORTS_MAX, true);
        let store = report_to(&mut runner, own);
        let (tasks, worker) = Inline::new(capacity, runner);
        (tasks, Slow { worker, reports, store })
    }

    /// Whether there is something to do, or to report.
    pub(crate) fn has_work(&self) -> bool {
        self.worker.pending() > 0 || !self.reports.is_empty()
    }

    /// Reports what was done, or, if the store knows of everything, does `work`.
    pub(crate) fn advance<T>(&mut self, work: fn(&mut Inline<R>) -> T) -> Did {
        if self.reports.is_empty() {
            work(&mut self.worker);
            return Did::Work;
        }
        while let Some(report) = self.reports.try_take() {
            // An error means that the store has stopped, and nobody wants to know.
            drop(self.store.send(report));
        }
        Did::Report
    }

    /// Does what waits and ends. Nobody is there any more who could be told.
    pub(crate) fn stop(self) -> R {
        self.worker.stop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports each task.
    struct Teller(Tasks<Completion>);

    impl Teller {
        fn report_to(&mut self, completions: Tasks<Completion>) -> Tasks<Completion> {
            std::mem::replace(&mut self.0, completions)
        }
    }

    impl Runner for Teller {
        type Task = &'static str;

        fn run(&mut self, task: &'static str) {
            self.0.send(Completion::Failed(task.to_owned())).expect("somebody listens");
        }
    }

    #[test]
    fn what_was_done_is_told_later_and_nothing_else_is_done_before() {
        let (reports, store) = worker::queue(8, true);
        let (tasks, mut slow) = Slow::new(8, Teller(reports), Teller::report_to);
        for task in ["first", "second"] {
            tasks.try_send(task).expect("there is room");
        }
        for told in 0..2 {
            assert_eq!((slow.advance(Inline::step), store.len()), (Did::Work, told));
            assert_eq!((slow.advance(Inline::step), store.len()), (Did::Report, told + 1));
        }
        assert!(!slow.has_work());
    }
}
