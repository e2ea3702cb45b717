//! The calling thread, where there are no others: what `workers.rs` is with threads.

use anyhow::ensure;
use tract_core::prelude::TypedModel;
use tract_linalg::multithread::Executor;

use crate::Result;

/// The calling thread.
#[derive(Debug)]
pub(crate) struct Workers;

impl Workers {
    pub fn new(threads: usize, _graph: &TypedModel) -> anyhow::Result<Workers> {
        ensure!(threads <= 1, "{threads} threads: the engine was built without threads");
        Ok(Workers)
    }

    /// How many threads they are.
    #[allow(clippy::unused_self)]
    pub fn threads(&self) -> usize {
        1
    }

    /// The same, as tract's matrix products want it.
    #[allow(clippy::unused_self)]
    pub fn executor(&self) -> Executor {
        Executor::SingleThread
    }

    /// Does `work`.
    #[allow(clippy::unused_self)]
    pub fn compute<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        work()
    }
}

/// What each of `items` gives.
pub(crate) fn map<T, R>(
    items: &[T],
    work: impl Fn(&T) -> anyhow::Result<R>,
) -> anyhow::Result<Vec<R>> {
    items.iter().map(work).collect()
}
