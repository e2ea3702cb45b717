//! The state of the network behind one stream, which goes back where a turn fails.

use std::sync::Arc;

use tract_core::internal::TypedSimpleState;
use tract_core::prelude::{TValue, TVec, Tensor, TypedSimplePlan};

use crate::guard::guarded;
use crate::track::{Due, Track};
use crate::{Result, Stage};

/// Turns that are kept to be computed again. To copy the state at each of them would cost a small
/// model a tenth of its time.
const KEPT: usize = 16;

/// The state of a network, and the way back from a turn that failed half-way.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    state: TypedSimpleState,
    /// As it was before the turns in `since`.
    saved: TypedSimpleState,
    /// Their inputs.
    since: Vec<TVec<TValue>>,
}

impl Network {
    pub fn new(plan: &Arc<TypedSimplePlan>) -> anyhow::Result<Network> {
        Ok(Network { state: plan.spawn()?, saved: plan.spawn()?, since: vec![] })
    }

    /// Computes what is due of the stream, and gives the frames that are ready. If that fails, it
    /// is as it was.
    pub fn compute(&mut self, track: &mut Track, due: Due) -> Result<Vec<Option<Tensor>>> {
        if due.turns == 0 {
            return guarded(Stage::Run, || track.done(due));
        }
        let outcome = guarded(Stage::Run, || self.turns(track, due));
        if outcome.is_err() {
            guarded(Stage::Run, || self.go_back())?;
        }
        outcome
    }

    fn turns(&mut self, track: &mut Track, mut due: Due) -> anyhow::Result<Vec<Option<Tensor>>> {
        let few = due.turns < KEPT && due.end.is_none();
        if !few {
            self.save();
        }
        let mut taken = vec![];
        for turn in 0..due.turns {
            let pulsed = track.pulsed();
            let inputs = due.inputs(pulsed, turn)?;
            if few {
                taken.push(inputs.clone());
            }
            pulsed.bind_end(&mut self.state, due.end);
            let outputs = self.state.run(inputs)?;
            due.took(pulsed, outputs)?;
        }
        let outputs = track.done(due)?;
        self.since.extend(taken);
        if !few || self.since.len() >= KEPT {
            self.save();
        }
        Ok(outputs)
    }

    fn save(&mut self) {
        self.saved = self.state.clone();
        self.since.clear();
    }

    fn go_back(&mut self) -> anyhow::Result<()> {
        self.state = self.saved.clone();
        for inputs in &self.since {
            self.state.run(inputs.clone())?;
        }
        Ok(())
    }
}
