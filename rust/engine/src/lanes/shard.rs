//! One state of the network, its lanes, and the turns that their streams share.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use tract_core::internal::{LaneId, Seating, TypedSimpleState};
use tract_core::lanes::LaneTable;
use tract_core::plan::eval;
use tract_core::prelude::{TValue, TVec};

use super::batch::Batch;
use super::lock;
use super::nodes::Memory;
use crate::guard::guarded;
use crate::pulse::PulsedModel;
use crate::track::Due;
use crate::{Error, Result, Stage};

/// A state of the network with lanes for so many streams.
#[derive(Debug)]
pub(super) struct Shard {
    lanes: Mutex<LaneTable>,
    /// What streams wait for. Whoever computes next takes all of it.
    queue: Mutex<Vec<Job>>,
    network: Mutex<Network>,
}

/// What one stream waits for.
#[derive(Clone, Debug)]
struct Job {
    lane: LaneId,
    due: Due,
    /// Turns that are done.
    turn: usize,
    outcome: Outcome,
}

/// Where what became of a job is put.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome(Arc<Mutex<Option<Result<Due>>>>);

#[derive(Clone, Debug)]
struct Network {
    state: TypedSimpleState,
    /// What each node that keeps a state remembers of the lanes.
    memory: HashMap<usize, Memory>,
    lanes: usize,
    /// Turns from which on streams of all ages may share one.
    warm_up: i64,
    batch: Arc<Batch>,
}

impl Outcome {
    /// What is known already.
    pub fn known(result: Result<Due>) -> Outcome {
        Outcome(Arc::new(Mutex::new(Some(result))))
    }

    /// What was put there.
    pub fn take(&self) -> Result<Due> {
        let lost = || Error::new(Stage::Run, "the turn was lost");
        lock(&self.0).take().unwrap_or_else(|| Err(lost()))
    }

    fn put(&self, result: Result<Due>) {
        *lock(&self.0) = Some(result);
    }
}

impl Shard {
    pub fn new(batch: &Arc<Batch>, lanes: usize) -> anyhow::Result<Shard> {
        let network = Network::new(batch, lanes)?;
        let lanes = Mutex::new(LaneTable::new(lanes)?);
        Ok(Shard { lanes, queue: Mutex::default(), network: Mutex::new(network) })
    }

    pub fn taken(&self) -> usize {
        lock(&self.lanes).taken()
    }

    /// A free lane, cleared of what an earlier stream left there.
    pub fn take(&self) -> anyhow::Result<Option<LaneId>> {
        let lane = lock(&self.lanes).take();
        if let Some(lane) = lane
            && let Err(error) = self.reset(lane)
        {
            self.give_back(lane);
            return Err(error);
        }
        Ok(lane)
    }

    pub fn give_back(&self, lane: LaneId) {
        // It fails for a lane that is free already, which is what is wanted.
        let _ = lock(&self.lanes).give_back(lane);
    }

    pub fn reset(&self, lane: LaneId) -> anyhow::Result<()> {
        lock(&self.network).reset(lane)
    }

    /// Has what is due done by whoever works next.
    pub fn enqueue(&self, lane: LaneId, due: Due) -> Outcome {
        if due.turns == 0 {
            return Outcome::known(Ok(due));
        }
        let outcome = Outcome::default();
        let job = Job { lane, due, turn: 0, outcome: outcome.clone() };
        lock(&self.queue).push(job);
        outcome
    }

    /// Does all jobs that wait. Who finds none has had his done by another thread.
    pub fn work(&self, pulsed: &PulsedModel) {
        let mut network = lock(&self.network);
        let jobs = mem::take(&mut *lock(&self.queue));
        if !jobs.is_empty() {
            network.serve(pulsed, jobs);
        }
    }
}

impl Job {
    /// Jobs of the same group may share a turn: a stream's end holds for a turn as a whole, and
    /// so does what a layer skips at a stream's start.
    fn group(&self, warm_up: i64) -> (Option<i64>, i64) {
        (self.due.end, self.due.age().min(warm_up))
    }
}

impl Network {
    fn new(batch: &Arc<Batch>, lanes: usize) -> anyhow::Result<Network> {
        // tract's operators have no axis of lanes where there is but one.
        let lanes = lanes.max(2);
        let state = batch.plan.spawn()?;
        let mut memory = HashMap::new();
        let graph = batch.plan.model();
        for (node, _) in state.op_states.iter().enumerate().filter(|(_, state)| state.is_some()) {
            let node = graph.node(node);
            let kept = Memory::of(graph, node, &batch.symbol, lanes);
            memory.insert(node.id, kept.with_context(|| format!("{node}"))?);
        }
        let warm_up = memory.values().map(Memory::warm_up).max().unwrap_or(0);
        Ok(Network {
            state,
            memory,
            lanes,
            warm_up: i64::try_from(warm_up)?,
            batch: Arc::clone(batch),
        })
    }

    fn reset(&mut self, lane: LaneId) -> anyhow::Result<()> {
        for (node, memory) in &mut self.memory {
            memory.reset(lane);
            if matches!(memory, Memory::Native)
                && let Some(state) = &mut self.state.op_states[*node]
            {
                state.reset_lanes(&[lane])?;
            }
        }
        Ok(())
    }

    /// Does all of `jobs`. If a turn fails, each is done by itself, so that only those fail which
    /// are to blame, and their streams are as they were.
    fn serve(&mut self, pulsed: &PulsedModel, jobs: Vec<Job>) {
        let before = self.clone();
        let mut tried = jobs.clone();
        let Err(error) = guarded(Stage::Run, || self.turns(pulsed, &mut tried)) else {
            for job in tried {
                job.outcome.put(Ok(job.due));
            }
            return;
        };
        *self = before;
        if let [job] = &jobs[..] {
            job.outcome.put(Err(error));
            return;
        }
        for job in jobs {
            self.serve(pulsed, vec![job]);
        }
    }

    /// All turns of `jobs`: the youngest streams' first, which then share those of the others.
    fn turns(&mut self, pulsed: &PulsedModel, jobs: &mut [Job]) -> anyhow::Result<()> {
        loop {
            let mut open: Vec<&mut Job> =
                jobs.iter_mut().filter(|job| job.turn < job.due.turns).collect();
            let Some(group) = open.iter().map(|job| job.group(self.warm_up)).min() else {
                return Ok(());
            };
            open.retain(|job| job.group(self.warm_up) == group);
            self.turn(pulsed, &mut open)?;
        }
    }

    /// One turn, with a seat for each of `jobs`.
    fn turn(&mut self, pulsed: &PulsedModel, jobs: &mut [&mut Job]) -> anyhow::Result<()> {
        let seats: Vec<TVec<TValue>> = jobs
            .iter()
            .map(|job| job.due.inputs(pulsed, job.turn))
            .collect::<anyhow::Result<_>>()?;
        let inputs = self.batch.inputs.iter().enumerate();
        let inputs = inputs.map(|(i, axis)| self.batch.join(*axis, seats.iter().map(|s| &s[i])));
        let inputs = inputs.collect::<anyhow::Result<TVec<TValue>>>()?;
        self.state.seat(Seating::new(self.lanes, jobs.iter().map(|job| job.lane))?);
        pulsed.bind_end(&mut self.state, jobs[0].due.end);
        let memory = &mut self.memory;
        let outputs =
            self.state.run_plan_with_eval(inputs, |ctx, state, node, inputs| {
                match memory.get_mut(&node.id) {
                    Some(Memory::Each(each)) => each.eval(ctx, node, &inputs),
                    Some(Memory::Recurrent(scan)) => scan.eval(ctx, &inputs),
                    Some(Memory::Native) | None => eval(ctx, state, node, inputs),
                }
            })?;
        let seats = (0..jobs.len()).map(|seat| {
            let own = outputs.iter().zip(&self.batch.outputs);
            own.map(|(output, axis)| self.batch.cut(*axis, output, seat)).collect()
        });
        let seats: Vec<TVec<TValue>> = seats.collect::<anyhow::Result<_>>()?;
        for (job, outputs) in jobs.iter_mut().zip(seats) {
            job.due.took(pulsed, outputs)?;
            job.turn += 1;
        }
        Ok(())
    }
}
