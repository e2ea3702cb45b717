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

use anyhow::{Context, bail, ensure};
use rayon::prelude::*;
use tract_core::internal::{LaneId, TypedSimpleState};
use tract_core::prelude::{Tensor, TypedSimplePlan};

use crate::guard::guarded;
use crate::stream::{PulsedRunnable, compute_alone};
use crate::track::{Due, Track};
use crate::workers::Workers;
use crate::{Error, Result, Stage};
use batch::Batch;
use shard::Shard;

/// What a push gives: frames of each output, nothing for one that does not stream.
type Outputs = Vec<Option<Tensor>>;

/// Room for a number of streams. Threads may use them at once: what they push meanwhile is computed
/// in common turns, where the streams share any.
#[derive(Debug)]
pub struct Pool {
    runnable: Arc<PulsedRunnable>,
    capacity: usize,
    taken: AtomicUsize,
    network: Network,
}

#[derive(Debug)]
enum Network {
    /// Turns are batches of streams; each shard makes its own.
    Shared { batch: Batch, shards: Vec<Shard> },
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
    /// `lost` is set where a turn failed: nobody knows how far the lane came.
    Lane {
        shard: usize,
        lane: LaneId,
        lost: bool,
    },
    Own(TypedSimpleState),
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
                _ => guarded(Stage::Pulse, || Network::shared(&runnable, capacity)),
            };
            let network = match shared {
                Ok(network) => network,
                Err(error) if batched == Some(true) => return Err(error.into()),
                Err(error) => {
                    let graph = runnable.runnable.plan.model().clone();
                    Network::Apart { plan: batch::plan(graph)?, reason: error.message }
                }
            };
            Ok(Pool { runnable, capacity, taken: AtomicUsize::new(0), network })
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
        match &self.network {
            Network::Shared { .. } => None,
            Network::Apart { reason, .. } => Some(reason),
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
        let shards = match &self.network {
            Network::Apart { plan, .. } => return Ok(Seat::Own(plan.spawn()?)),
            Network::Shared { shards, .. } => shards,
        };
        let mut emptiest: Vec<usize> = (0..shards.len()).collect();
        emptiest.sort_by_key(|shard| shards[*shard].taken());
        for shard in emptiest {
            if let Some(lane) = shards[shard].take()? {
                return Ok(Seat::Lane { shard, lane, lost: false });
            }
        }
        bail!("no lane is free")
    }

    /// [`PoolStream::push`] for many streams at once; what each gives, in their order.
    ///
    /// # Errors
    /// As for one. If one of them refuses its chunks, none takes any.
    pub fn push(&self, chunks: Vec<(&mut PoolStream, Vec<Tensor>)>) -> Result<Vec<Outputs>> {
        let (streams, chunks): (Vec<_>, Vec<_>) = chunks.into_iter().unzip();
        let mut chunks = chunks.into_iter();
        self.advance(streams, |track| track.push(chunks.next().context("chunks for each")?))
    }

    /// [`PoolStream::flush`] for many streams at once; what each gives, in their order.
    ///
    /// # Errors
    /// As for one. If one of them can't end, none does.
    pub fn flush(&self, streams: Vec<&mut PoolStream>) -> Result<Vec<Outputs>> {
        self.advance(streams, Track::flush)
    }

    fn advance(
        &self,
        streams: Vec<&mut PoolStream>,
        mut due: impl FnMut(&Track) -> anyhow::Result<Due>,
    ) -> Result<Vec<Outputs>> {
        let several = streams.len() > 1;
        let mut all = vec![];
        for (i, stream) in streams.into_iter().enumerate() {
            let known = guarded(Stage::Run, || stream.due(self, &mut due));
            let known = known.map_err(|error| match several {
                true => Error::new(error.stage, format!("stream {i}: {}", error.message)),
                false => error,
            });
            all.push((stream, known?));
        }
        self.compute(all)
    }

    /// Computes what is due. Streams that need no turn are left out of it.
    fn compute(&self, all: Vec<(&mut PoolStream, Due)>) -> Result<Vec<Outputs>> {
        let done = match &self.network {
            Network::Shared { shards, .. } => self.in_lanes(shards, all)?,
            Network::Apart { .. } => self.workers().compute(|| {
                Ok(all.into_par_iter().map(|(stream, due)| stream.alone(due)).collect::<Vec<_>>())
            })?,
        };
        done.into_iter().collect()
    }

    fn in_lanes(
        &self,
        shards: &[Shard],
        all: Vec<(&mut PoolStream, Due)>,
    ) -> Result<Vec<Result<Outputs>>> {
        let mut waiting = vec![];
        let mut busy = vec![];
        for (stream, due) in all {
            let Seat::Lane { shard, lane, .. } = stream.seat else { continue };
            let outcome = shards[shard].enqueue(lane, due);
            busy.push(shard);
            waiting.push((stream, outcome));
        }
        busy.sort_unstable();
        busy.dedup();
        let pulsed = &self.runnable.pulsed;
        self.workers().compute(|| {
            match busy[..] {
                [shard] => shards[shard].work(pulsed),
                _ => busy.par_iter().for_each(|shard| shards[*shard].work(pulsed)),
            }
            Ok(())
        })?;
        let finish = |(stream, outcome): (&mut PoolStream, shard::Outcome)| {
            let due = outcome.take().inspect_err(|_| stream.lose())?;
            guarded(Stage::Run, || stream.track.done(due))
        };
        Ok(waiting.into_iter().map(finish).collect())
    }

    fn workers(&self) -> &Workers {
        &self.runnable.runnable.workers
    }
}

impl Network {
    fn shared(runnable: &Arc<PulsedRunnable>, capacity: usize) -> anyhow::Result<Network> {
        let batch = Batch::of(runnable)?;
        let count = runnable.runnable.workers.threads().min(capacity);
        let share = |shard: usize| capacity / count + usize::from(shard < capacity % count);
        let shards = (0..count).map(|shard| Shard::new(&batch, share(shard)));
        Ok(Network::Shared { shards: shards.collect::<anyhow::Result<_>>()?, batch })
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
    /// Likewise, and the stream is as it was, unless tract fails in a shared turn: then it must be
    /// reset.
    pub fn push(&mut self, chunks: Vec<Tensor>) -> Result<Outputs> {
        let pool = Arc::clone(&self.pool);
        Ok(pool.push(vec![(self, chunks)])?.remove(0))
    }

    /// As [`Stream::flush`](crate::Stream::flush). Turns are shared with streams that end at the
    /// same length.
    ///
    /// # Errors
    /// As [`PoolStream::push`].
    pub fn flush(&mut self) -> Result<Outputs> {
        let pool = Arc::clone(&self.pool);
        Ok(pool.flush(vec![self])?.remove(0))
    }

    /// Goes back to the start.
    ///
    /// # Errors
    /// When tract can't clear the lane.
    pub fn reset(&mut self) -> Result<()> {
        guarded(Stage::Run, || match (&self.pool.network, &mut self.seat) {
            (Network::Shared { shards, .. }, Seat::Lane { shard, lane, lost }) => {
                shards[*shard].reset(*lane)?;
                *lost = false;
                Ok(())
            }
            (Network::Apart { plan, .. }, Seat::Own(state)) => {
                *state = plan.spawn()?;
                Ok(())
            }
            _ => bail!("a seat of another pool"),
        })?;
        self.track.reset();
        Ok(())
    }

    fn due(
        &self,
        pool: &Pool,
        of: impl FnOnce(&Track) -> anyhow::Result<Due>,
    ) -> anyhow::Result<Due> {
        ensure!(std::ptr::eq(&raw const *self.pool, pool), "it is a stream of another pool");
        let lost = matches!(self.seat, Seat::Lane { lost: true, .. });
        ensure!(!lost, "tract failed in an earlier turn, and the stream is lost: reset it");
        let due = of(&self.track)?;
        if let Network::Shared { batch, .. } = &pool.network {
            batch.check_single(&due)?;
        }
        Ok(due)
    }

    fn alone(&mut self, due: Due) -> Result<Outputs> {
        match &mut self.seat {
            Seat::Own(state) => compute_alone(&mut self.track, state, due),
            Seat::Lane { .. } => Err(Error::new(Stage::Run, "a seat of another pool")),
        }
    }

    fn lose(&mut self) {
        if let Seat::Lane { lost, .. } = &mut self.seat {
            *lost = true;
        }
    }
}

impl Drop for PoolStream {
    fn drop(&mut self) {
        if let (Network::Shared { shards, .. }, Seat::Lane { shard, lane, .. }) =
            (&self.pool.network, &self.seat)
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
