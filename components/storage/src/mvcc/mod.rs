//! Many versions of each key, so that a reader sees one moment while others write.
//!
//! # Columns
//!
//! Every transaction has a *start timestamp*, which is its name, and if it commits a *commit
//! timestamp*; all of them are different, and come from one source that never goes back. What a
//! transaction does to a key is kept in three families:
//!
//! | family | key | value | says |
//! |---|---|---|---|
//! | `default` | user key, start timestamp | the value | what the transaction puts, if it commits |
//! | `lock` | user key | [`Lock`] | a transaction is writing here and not yet decided |
//! | `write` | user key, commit timestamp | [`Write`] | a transaction did this, and it counts from then on |
//!
//! The bytes are those of the original TinyKV, see [`key`], [`lock`] and [`mod@write`]. Timestamps stand
//! inverted in the keys, so the newest version of a user key comes first.
//!
//! # What a read at a timestamp sees
//!
//! The newest put or delete that was committed at or before it. An example, with time going up; key
//! `c` was committed at 14 by the transaction that started at 11, and `b` is locked by the one that
//! started at 16:
//!
//! ```text
//!   time      a              b              c              d
//!    18    delete(17)
//!    16                   (lock 16)
//!    14                                  put(11) "c2"
//!    12    rollback(12)
//!     9                                                 lock(8)
//!     6                   put(5) "b1"    put(5) "c1"    put(5) "d1"
//!     3    put(2) "a1"
//!
//!   read at 13:  a = a1    b = b1         c = c1         d = d1
//!   read at 16:  a = a1    b is locked    c = c2         d = d1
//!   read at 18:  a: none   b is locked    c = c2         d = d1
//! ```
//!
//! A read looks past rollbacks and past records of transactions that only held the key (`d` at 9).
//! It must stop at a lock that is older than itself: that transaction may already be committed, by its
//! primary key elsewhere, at a timestamp that this read should see. A younger lock does not matter,
//! as its transaction will be committed later still.
//!
//! # What is here
//!
//! [`MvccReader`] answers questions about single keys, [`Scanner`] walks over ranges, and [`MvccTxn`]
//! turns what a command decides into changes. All of them compute over a [`Reader`](crate::Reader)
//! and nothing else: no clock, no thread, no I/O of their own. Records that do not parse are errors.
//!
//! Left out: who may do what to whom. The rules of transactions are one floor up, in
//! [`txn`](crate::txn).

pub mod key;
pub mod lock;
pub mod reader;
pub mod scanner;
pub mod txn;
pub mod write;

pub use key::{TS_MAX, decode_user_key, encode_key, encode_user_key, split_key};
pub use lock::{LOGICAL_BITS, Lock, physical_ms};
pub use reader::MvccReader;
pub use scanner::{Direction, Glance, Row, Scanner, Step};
pub use txn::MvccTxn;
pub use write::{Write, WriteKind};
