//! The threads that share the work of a run.

use std::sync::{Arc, Mutex, PoisonError};
use std::{mem, process};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tract_core::model::TypedNode;
use tract_core::prelude::TypedModel;
use tract_linalg::multithread::Executor;
use tract_transformers::ops::moe_ffn::MoeFfn;

use crate::guard::{guard_thread, guarded};
use crate::{Error, Result, Stage};

/// Where a run is computed.
#[derive(Debug)]
pub(crate) enum Workers {
    /// On the calling thread alone.
    Caller,
    /// On a thread for operators that would else take rayon's own pool, of all processors. It is
    /// made again after a fork.
    Alone(Mutex<Threads>),
    /// On a pool, whose threads share each matrix product, in the process that made it.
    Pool(Threads),
}

/// Threads, and the process that they are in: a fork leaves them behind.
#[derive(Clone, Debug)]
pub(crate) struct Threads {
    pool: Arc<ThreadPool>,
    process: u32,
}

impl Threads {
    fn new(threads: usize) -> anyhow::Result<Threads> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("torchtract-{i}"))
            .start_handler(|_| guard_thread())
            .build()?;
        Ok(Threads { pool: Arc::new(pool), process: process::id() })
    }

    fn are_here(&self) -> bool {
        self.process == process::id()
    }
}

impl Workers {
    pub fn new(threads: usize, graph: &TypedModel) -> anyhow::Result<Workers> {
        if threads > 1 {
            return Ok(Workers::Pool(Threads::new(threads)?));
        }
        if graph.nodes.iter().any(shares_its_work) {
            return Ok(Workers::Alone(Mutex::new(Threads::new(1)?)));
        }
        Ok(Workers::Caller)
    }

    /// How many threads they are.
    pub fn threads(&self) -> usize {
        match self {
            Workers::Caller | Workers::Alone(_) => 1,
            Workers::Pool(threads) => threads.pool.current_num_threads(),
        }
    }

    /// The same, as tract's matrix products want it.
    pub fn executor(&self) -> Executor {
        match self {
            Workers::Caller | Workers::Alone(_) => Executor::SingleThread,
            Workers::Pool(threads) => Executor::MultiThread(Arc::clone(&threads.pool)),
        }
    }

    /// Does `work` there. All of a run is done on the pool, not only its matrix products: handing
    /// each of those over would wake a sleeping thread and move its operands between caches.
    ///
    /// # Errors
    /// When the pool's threads are not in this process: a fork leaves them behind.
    pub fn compute<T: Send>(&self, work: impl Send + FnOnce() -> Result<T>) -> Result<T> {
        match self {
            Workers::Caller => work(),
            Workers::Alone(thread) => alone(thread)?.install(work),
            Workers::Pool(threads) if threads.are_here() => threads.pool.install(work),
            Workers::Pool(_) => Err(Error::new(
                Stage::Run,
                "compiled with several threads, which stayed behind when the process was forked: \
                 compile the model again in this process",
            )),
        }
    }
}

/// What each of `items` gives, by the threads of the pool that the caller is on, if it is on one.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    work: impl Send + Sync + Fn(&T) -> anyhow::Result<R>,
) -> anyhow::Result<Vec<R>> {
    // Elsewhere rayon would take a pool of all processors.
    if rayon::current_thread_index().is_none() {
        return items.iter().map(work).collect();
    }
    items.par_iter().map(work).collect()
}

/// The one thread, in this process.
fn alone(thread: &Mutex<Threads>) -> Result<Arc<ThreadPool>> {
    let mut thread = thread.lock().unwrap_or_else(PoisonError::into_inner);
    if !thread.are_here() {
        let made = guarded(Stage::Run, || Threads::new(1))?;
        // Its thread is in another process: there is none to wait for.
        mem::forget(mem::replace(&mut *thread, made));
    }
    Ok(Arc::clone(&thread.pool))
}

/// Whether an operator spreads its work over the threads of the pool that it finds itself on.
fn shares_its_work(node: &TypedNode) -> bool {
    node.op_is::<MoeFfn>()
}
