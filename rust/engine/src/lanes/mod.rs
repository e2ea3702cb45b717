//! Many streams through few states of the network: tract's lanes, one for each stream.
//!
//! tract has lanes in its operators (`Seating`): a turn of the network takes a batch whose items
//! belong to different streams, and each operator keeps a past for each of them. Its driver,
//! `LanedRunnable`, can't be used here: it has no word for a stream's end, which trailing padding
//! waits for, and it refuses recurrent layers. So turns are made here, and [`nodes`] gives lanes to
//! the operators that have none.

mod batch;
mod nodes;
mod shard;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{bail, ensure};
use rayon::prelude::*;
use tract_core::internal::LaneId;
use tract_core::prelude::{Tensor, TypedSimplePlan};

use crate::guard::guarded;
use crate::network::Network;
use crate::stream::PulsedRunnable;
use crate::track::{Due, Track};
use crate::workers::Workers;
use crate::{Error, Result, Stage};
use batch::Batch;
use shard::{Outcome, Shard};

/// What a push gives: frames of each output, nothing for one that does not stream.
type Outputs = Vec<Option<Tensor>>;

/// Room for a number of streams. Threads may use them at once: what they push meanwhile is computed
/// in common turns, where the streams share any.
#[derive(Debug)]
pub struct Pool {
    runnable: Arc<PulsedRunnable>,
    capacity: usize,
    taken: AtomicUsize,
    turns: Turns,
}

#[derive(Debug)]
enum Turns {
    /// Turns are batches of streams; each shard makes its own.
    Shared { batch: Arc<Batch>, shards: Vec<Shard> },
    /// Each stream has a state to itself, and why.
    Apart { plan: Arc<TypedSimplePlan>, reason: String },
}

/// One of the streams of a pool. It has its place until it is dropped.
#[derive(Debug)]
pub struct PoolStream {
    pool: Arc<Pool>,
    track: Track,
    seat: Seat,
}

/// Where the network's state for a stream is.
#[derive(Debug)]
enum Seat {
    Lane { shard: usize, lane: LaneId },
    Own(Box<Network>),
}

impl Pool {
    /// Room for `capacity` streams. Threads of `runnable` compute turns at the same time.
    ///
    /// `batched` says whether the streams share turns. Without it they do, where they can.
    ///
    /// # Errors
    /// With [`Stage::Pulse`], when they can't and have to, with the layer and the reason.
    pub fn new(
        runnable: Arc<PulsedRunnable>,
        capacity: usize,
        batched: Option<bool>,
    ) -> Result<Pool> {
        guarded(Stage::Pulse, || {
            ensure!(capacity > 0, "a pool has room for at least one stream");
            let shared = match batched {
                Some(false) => Err(Error::new(Stage::Pulse, "batched=False")),
                _ => guarded(Stage::Pulse, || Turns::shared(&runnable, capacity)),
            };
            let turns = match shared {
                Ok(turns) => turns,
                Err(error) if batched == Some(true) => return Err(error.into()),
                Err(error) => {
                    let graph = runnable.runnable.plan.model().clone();
                    Turns::Apart { plan: batch::plan(graph)?, reason: error.message }
                }
            };
            Ok(Pool { runnable, capacity, taken: AtomicUsize::new(0), turns })
        })
    }

    /// The model's streams.
    pub fn runnable(&self) -> &Arc<PulsedRunnable> {
        &self.runnable
    }

    /// How many streams it has room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many streams it has.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Why its streams don't share turns, if they don't.
    pub fn apart(&self) -> Option<&str> {
        match &self.turns {
            Turns::Shared { .. } => None,
            Turns::Apart { reason, .. } => Some(reason),
        }
    }

    /// A stream that begins, with `fixed` for the inputs that don't stream.
    ///
    /// # Errors
    /// With [`Stage::Run`], when there is no room, or `fixed` does not have exactly those.
    pub fn stream(self: &Arc<Pool>, fixed: Vec<Option<Tensor>>) -> Result<PoolStream> {
        guarded(Stage::Run, || {
            let track = Track::new(Arc::clone(&self.runnable), fixed)?;
            let more = |taken| (taken < self.capacity).then_some(taken + 1);
            if self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
                bail!(
                    "the pool has {} streams, as many as it has room for: close one, or make a \
                     larger pool",
                    self.capacity
                );
            }
            let seat = self.seat().inspect_err(|_| self.leave())?;
            Ok(PoolStream { pool: Arc::clone(self), track, seat })
        })
    }

    fn leave(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }

    fn seat(&self) -> anyhow::Result<Seat> {
        let shards = match &self.turns {
            Turns::Apart { plan, .. } => return Ok(Seat::Own(Box::new(Network::new(plan)?))),
            Turns::Shared { shards, .. } => shards,
        };
        let mut emptiest: Vec<usize> = (0..shards.len()).collect();
        emptiest.sort_by_key(|shard| shards[*shard].taken());
        for shard in emptiest {
            if let Some(lane) = shards[shard].take()? {
                return Ok(Seat::Lane { shard, lane });
            }
        }
        bail!("no lane is free")
    }

    /// [`PoolStream::push`] for many streams at once: what becomes of each, in their order.
    pub fn push(&self, chunks: Vec<(&mut PoolStream, Vec<Tensor>)>) -> Vec<Result<Outputs>> {
        let due = |(stream, chunks): (_, _)| {
            let stream: &mut PoolStream = stream;
            let due = stream.due(self, |track| track.push(chunks));
            (stream, due)
        };
        self.compute(chunks.into_iter().map(due).collect())
    }

    /// [`PoolStream::flush`] for many streams at once: what becomes of each, in their order.
    pub fn flush(&self, streams: Vec<&mut PoolStream>) -> Vec<Result<Outputs>> {
        let due = |stream: &'_ mut PoolStream| stream.due(self, Track::flush);
        let due = streams.into_iter().map(|stream| {
            let due = due(stream);
            (stream, due)
        });
        self.compute(due.collect())
    }

    fn compute(&self, all: Vec<(&mut PoolStream, Result<Due>)>) -> Vec<Result<Outputs>> {
        match &self.turns {
            Turns::Shared { shards, .. } => self.in_lanes(shards, all),
            Turns::Apart { .. } => {
                let alone = |(stream, due): (&mut PoolStream, Result<Due>)| {
                    self.workers().compute(|| stream.alone(due?))
                };
                all.into_par_iter().map(alone).collect()
            }
        }
    }

    fn in_lanes(
        &self,
        shards: &[Shard],
        all: Vec<(&mut PoolStream, Result<Due>)>,
    ) -> Vec<Result<Outputs>> {
        let mut busy = vec![];
        let enqueue = |(stream, due): (_, Result<Due>)| {
            let stream: &mut PoolStream = stream;
            let outcome = due.map(|due| match stream.seat {
                Seat::Lane { shard, lane } => {
                    busy.push(shard);
                    shards[shard].enqueue(lane, due)
                }
                Seat::Own(_) => Outcome::known(Ok(due)),
            });
            (stream, outcome)
        };
        let waiting: Vec<_> = all.into_iter().map(enqueue).collect();
        busy.sort_unstable();
        busy.dedup();
        let pulsed = &self.runnable.pulsed;
        let worked = self.workers().compute(|| {
            match busy[..] {
                [shard] => shards[shard].work(pulsed),
                _ => busy.par_iter().for_each(|shard| shards[*shard].work(pulsed)),
            }
            Ok(())
        });
        let finish = |(stream, outcome): (&mut PoolStream, Result<Outcome>)| {
            let due = worked.clone().and(outcome)?.take()?;
            guarded(Stage::Run, || stream.track.done(due))
        };
        waiting.into_iter().map(finish).collect()
    }

    fn workers(&self) -> &Workers {
        &self.runnable.runnable.workers
    }
}

impl Turns {
    fn shared(runnable: &Arc<PulsedRunnable>, capacity: usize) -> anyhow::Result<Turns> {
        let batch = Arc::new(Batch::of(runnable)?);
        let count = runnable.runnable.workers.threads().min(capacity);
        let share = |shard: usize| capacity / count + usize::from(shard < capacity % count);
        let shards = (0..count).map(|shard| Shard::new(&batch, share(shard)));
        Ok(Turns::Shared { shards: shards.collect::<anyhow::Result<_>>()?, batch })
    }
}

impl PoolStream {
    /// The pool it is in.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Names of the inputs that stream, in order.
    pub fn streaming_inputs(&self) -> Vec<String> {
        self.track.streaming_inputs()
    }

    /// The symbol's value for what was pushed so far.
    pub fn position(&self) -> i64 {
        self.track.at.pushed
    }

    /// Whether it was flushed.
    pub fn ended(&self) -> bool {
        self.track.at.ended
    }

    /// As [`Stream::push`](crate::Stream::push), for a batch of one. Turns are shared with the
    /// streams of the pool that other threads push to at the same time.
    ///
    /// # Errors
    /// Likewise.
    pub fn push(&mut self, chunks: Vec<Tensor>) -> Result<Outputs> {
        let pool = Arc::clone(&self.pool);
        pool.push(vec![(self, chunks)]).remove(0)
    }

    /// As [`Stream::flush`](crate::Stream::flush). Turns are shared with streams that end at the
    /// same length.
    ///
    /// # Errors
    /// Likewise.
    pub fn flush(&mut self) -> Result<Outputs> {
        let pool = Arc::clone(&self.pool);
        pool.flush(vec![self]).remove(0)
    }

    /// Goes back to the start.
    ///
    /// # Errors
    /// When tract can't clear the lane.
    pub fn reset(&mut self) -> Result<()> {
        guarded(Stage::Run, || match (&self.pool.turns, &mut self.seat) {
            (Turns::Shared { shards, .. }, Seat::Lane { shard, lane }) => {
                shards[*shard].reset(*lane)
            }
            (Turns::Apart { plan, .. }, Seat::Own(network)) => {
                **network = Network::new(plan)?;
                Ok(())
            }
            _ => bail!("a seat of another pool"),
        })?;
        self.track.reset();
        Ok(())
    }

    fn due(&self, pool: &Pool, of: impl FnOnce(&Track) -> anyhow::Result<Due>) -> Result<Due> {
        guarded(Stage::Run, || {
            ensure!(std::ptr::eq(&raw const *self.pool, pool), "it is a stream of another pool");
            let due = of(&self.track)?;
            if let Turns::Shared { batch, .. } = &pool.turns {
                batch.check_single(&due)?;
            }
            Ok(due)
        })
    }

    fn alone(&mut self, due: Due) -> Result<Outputs> {
        match &mut self.seat {
            Seat::Own(network) => network.compute(&mut self.track, due),
            Seat::Lane { .. } => Err(Error::new(Stage::Run, "a seat of another pool")),
        }
    }
}

impl Drop for PoolStream {
    fn drop(&mut self) {
        if let (Turns::Shared { shards, .. }, Seat::Lane { shard, lane }) =
            (&self.pool.turns, &self.seat)
        {
            shards[*shard].give_back(*lane);
        }
        self.pool.leave();
    }
}

/// The content of a lock, also where a thread panicked that held it: every use leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
