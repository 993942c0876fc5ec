//! Letting others have their turn.

use std::pin::Pin;
use std::task::{Context, Poll};

/// Not ready once, and wants to be asked again at once. Whoever works for long without waiting for
/// anything waits for this in between: one thread may serve all connections.
#[derive(Default)]
pub(crate) struct Turn {
    is_over: bool,
}

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.is_over {
            return Poll::Ready(());
        }
        self.is_over = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
