//! Workers with a thread and without must look the same to their callers and to their runner.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::reply::{Abandoned, Reply};
use crate::worker::{Alarm, BATCH_MAX, Inline, Panicked, Refused, Runner, Tasks, Thread, Worker};

/// Tells what happens to it.
#[derive(Debug)]
struct Teller {
    told: Sender<String>,
    /// Its own queue, for the tasks that lead to another.
    again: Arc<OnceLock<Tasks<Task>>>,
}

enum Task {
    Say(&'static str),
    /// Waits for the test to let it go on.
    Hold(Receiver<()>),
    SayAgain(&'static str),
    Owe(Reply<Known>),
    Panic,
}

#[derive(Debug, PartialEq)]
enum Known {
    Yes,
    No,
}

impl Abandoned for Known {
    fn abandoned() -> Self {
        Known::No
    }
}

impl Runner for Teller {
    type Task = Task;

    fn run(&mut self, task: Task) {
        match task {
            Task::Say(word) => self.tell(word),
            Task::Hold(go) => go.recv().expect("the test lets go"),
            Task::SayAgain(word) => {
                let again = self.again.get().expect("a queue of its own");
                again.try_send(Task::Say(word)).expect("room for one");
            }
            Task::Owe(reply) => reply.answer(Known::Yes),
            Task::Panic => panic!("the task was {}", "bad"),
        }
    }

    fn flush(&mut self) {
        self.tell("flush");
    }

    fn tick(&mut self) {
        self.tell("tick");
    }

    fn stop(&mut self) {
        self.tell("stop");
    }
}

impl Teller {
    fn new() -> (Teller, Receiver<String>) {
        let (told, telling) = bounded(1000);
        (Teller { told, again: Arc::default() }, telling)
    }

    fn tell(&self, word: &str) {
        self.told.send(word.to_owned()).expect("room for all that is told");
    }
}

#[test]
fn a_worker_runs_what_was_accepted_then_stops() {
    let (runner, telling) = Teller::new();
    let (tasks, worker) = Worker::spawn("teller", 3, &Alarm::ignored(), runner).expect("a thread");
    let (go, held) = bounded(0);
    // While the first is held the others wait, and then make one batch with it.
    for task in [Task::Hold(held), Task::Say("one"), Task::Say("two")] {
        tasks.send(task).expect("the worker runs");
    }
    drop(tasks);
    go.send(()).expect("held");
    assert_eq!(worker.join(), Ok(()));
    let told: Vec<_> = telling.iter().filter(|word| word != "flush").collect();
    assert_eq!(told, ["one", "two", "stop"]);
}

#[test]
fn a_full_queue_hands_the_task_back_with_and_without_a_thread() {
    fn fills(tasks: &Tasks<Task>) {
        tasks.try_send(Task::Say("first")).expect("room for one");
        let refused = tasks.try_send(Task::Say("second")).expect_err("no room for two");
        assert!(refused.is_full(), "{refused}");
        assert!(matches!(refused.into_task(), Task::Say("second")));
        assert_eq!(tasks.len(), 1);
    }

    let (runner, _telling) = Teller::new();
    let (tasks, mut inline) = Inline::new(1, runner);
    fills(&tasks);
    assert!(inline.step());
    assert!(!inline.step());

    let (runner, _telling) = Teller::new();
    let (tasks, worker) = Worker::spawn("teller", 1, &Alarm::ignored(), runner).expect("a thread");
    let (go, held) = bounded(0);
    tasks.send(Task::Hold(held)).expect("the worker runs");
    // A second blocking send returns only when the worker holds the first one.
    tasks.send(Task::Say("before")).expect("the worker runs");
    let refused = tasks.try_send(Task::Say("refused")).expect_err("one held, one waits");
    assert!(refused.is_full(), "{refused}");
    go.send(()).expect("held");
    drop(tasks);
    assert_eq!(worker.join(), Ok(()));
}

#[test]
fn a_panic_rings_the_alarm_closes_the_queue_and_is_joined_as_an_error() {
    let rung = Arc::new(Mutex::new(Vec::new()));
    let alarm = Alarm::new({
        let rung = Arc::clone(&rung);
        move |panicked: &Panicked| rung.lock().expect("not poisoned").push(panicked.to_string())
    });
    let (runner, telling) = Teller::new();
    let (tasks, worker) = Worker::spawn("fragile", 8, &alarm, runner).expect("a thread");
    let (go, held) = bounded(0);
    let (reply, answer) = Reply::new();
    for task in [Task::Hold(held), Task::Panic, Task::Owe(reply)] {
        tasks.send(task).expect("the worker runs");
    }
    go.send(()).expect("held");
    let panicked = worker.join().expect_err("it panicked");
    assert_eq!(panicked.to_string(), "thread fragile panicked: the task was bad");
    assert_eq!(*rung.lock().expect("not poisoned"), [panicked.to_string()]);

    assert_eq!(answer.wait(), Known::No, "what waited behind it is abandoned");
    let refused = tasks.send(Task::Say("late")).expect_err("nobody runs it");
    assert!(matches!(refused, Refused::Closed(Task::Say("late"))), "{refused}");
    assert!(telling.iter().all(|word| word != "stop"), "a broken runner is not asked to stop");
}

#[test]
fn a_task_that_is_sent_while_the_worker_breaks_is_never_left_waiting() {
    for _ in 0..200 {
        let (runner, _telling) = Teller::new();
        let (tasks, worker) =
            Worker::spawn("fragile", 1, &Alarm::ignored(), runner).expect("a thread");
        let (reply, answer) = Reply::new();
        let sender = Thread::spawn("sender", &Alarm::ignored(), {
            let tasks = tasks.clone();
            // Whether it is refused or dropped from the queue depends on who comes first.
            move || drop(tasks.send(Task::Owe(reply)))
        });
        // This may block behind the other one, but not for ever.
        drop(tasks.send(Task::Panic));
        assert!(worker.join().is_err());
        assert_eq!(sender.expect("a thread").join(), Ok(()));
        // The tasks are still held here: it is not their end that frees the reply.
        let (Known::Yes | Known::No) = answer.wait();
        assert!(tasks.is_empty());
    }
}

#[test]
fn a_panic_in_the_alarm_is_still_an_error() {
    let alarm = Alarm::new(|_| panic!("the alarm broke"));
    let thread = Thread::spawn("unlucky", &alarm, || panic!("first")).expect("a thread");
    let panicked = thread.join().expect_err("it panicked");
    assert_eq!(panicked.to_string(), "thread unlucky panicked: the alarm broke");
}

#[test]
fn a_ticking_worker_ticks_runs_and_stops() {
    let (runner, telling) = Teller::new();
    let interval = Duration::from_millis(1);
    let alarm = Alarm::ignored();
    let (tasks, worker) =
        Worker::spawn_ticking("metronome", 8, interval, &alarm, runner).expect("a thread");
    assert_eq!(telling.recv().as_deref(), Ok("tick"));
    tasks.send(Task::Say("between")).expect("the worker runs");
    assert!(telling.iter().any(|word| word == "between"));
    assert!(telling.iter().any(|word| word == "tick"), "and it goes on");
    drop(tasks);
    assert_eq!(worker.join(), Ok(()));
    assert_eq!(telling.iter().last().as_deref(), Some("stop"));
}

#[test]
fn a_stepped_runner_does_nothing_unasked_and_then_what_a_thread_would() {
    let (runner, telling) = Teller::new();
    let (tasks, mut inline) = Inline::new(1000, runner);
    for _ in 0..BATCH_MAX {
        tasks.try_send(Task::Say("word")).expect("room");
    }
    tasks.try_send(Task::Say("word")).expect("room");
    assert_eq!(telling.len(), 0);
    assert_eq!(inline.pending(), BATCH_MAX + 1);

    assert_eq!(inline.run_all(), 2, "the last task is a batch of its own");
    let flushes = telling.try_iter().filter(|word| word == "flush").count();
    assert_eq!(flushes, 2);
    inline.tick();
    assert_eq!(telling.try_recv().as_deref(), Ok("tick"));
    tasks.try_send(Task::Say("last")).expect("room");
    inline.stop();
    assert_eq!(telling.iter().collect::<Vec<_>>(), ["last", "flush", "stop"]);
    assert!(matches!(tasks.try_send(Task::Panic), Err(Refused::Closed(_))));
}

#[test]
fn what_a_task_queues_is_run_too() {
    let (runner, telling) = Teller::new();
    let again = Arc::clone(&runner.again);
    let (tasks, mut inline) = Inline::new(2, runner);
    again.set(tasks.clone()).expect("set once");
    tasks.try_send(Task::SayAgain("echo")).expect("room");
    assert_eq!(inline.run_all(), 1);
    assert_eq!(telling.try_iter().collect::<Vec<_>>(), ["echo", "flush"]);
    assert_eq!(inline.runner().again.get().map(Tasks::len), Some(0));
}

#[test]
#[should_panic(expected = "would never return")]
fn a_blocking_send_to_a_full_stepped_queue_is_refused_loudly() {
    let (tasks, _inline) = Inline::new(1, Teller::new().0);
    tasks.send(Task::Say("one")).expect("room");
    let _ = tasks.send(Task::Say("two"));
}
