//! The threads that share the work of a run.

use std::process;
use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tract_core::model::TypedNode;
use tract_core::prelude::TypedModel;
use tract_linalg::multithread::Executor;
use tract_transformers::ops::flash_sdpa::FlashSdpaOp;
use tract_transformers::ops::inplace_kv_cache::InPlaceKvSdpa;
use tract_transformers::ops::moe_ffn::MoeFfn;

use crate::guard::guard_thread;
use crate::{Error, Result, Stage};

/// Where a run is computed.
#[derive(Debug)]
pub(crate) enum Workers {
    /// On the calling thread alone.
    Caller,
    /// On a pool, whose threads share each matrix product, in the process that made it. One of a
    /// single thread is for operators that would else take rayon's own pool, of all processors.
    Pool { pool: Arc<ThreadPool>, process: u32 },
}

impl Workers {
    pub fn new(threads: usize, graph: &TypedModel) -> anyhow::Result<Workers> {
        if threads == 1 && !graph.nodes.iter().any(shares_its_work) {
            return Ok(Workers::Caller);
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("torchtract-{i}"))
            .start_handler(|_| guard_thread())
            .build()?;
        Ok(Workers::Pool { pool: Arc::new(pool), process: process::id() })
    }

    /// How many threads they are.
    pub fn threads(&self) -> usize {
        match self {
            Workers::Caller => 1,
            Workers::Pool { pool, .. } => pool.current_num_threads(),
        }
    }

    /// The same, as tract's matrix products want it.
    pub fn executor(&self) -> Executor {
        match self {
            Workers::Pool { pool, .. } if self.threads() > 1 => {
                Executor::MultiThread(Arc::clone(pool))
            }
            _ => Executor::SingleThread,
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
            Workers::Pool { pool, process } if *process == process::id() => pool.install(work),
            Workers::Pool { .. } => Err(Error::new(
                Stage::Run,
                "compiled with several threads, which stayed behind when the process was forked: \
                 compile the model again in this process",
            )),
        }
    }
}

/// Whether an operator spreads its work over the threads of the pool that it finds itself on.
fn shares_its_work(node: &TypedNode) -> bool {
    node.op_is::<FlashSdpaOp>() || node.op_is::<InPlaceKvSdpa>() || node.op_is::<MoeFfn>()
}
