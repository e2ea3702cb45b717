//! A stream through a pulsed model: chunks of any length in, the batch model's frames out.

use std::sync::Arc;

use tract_core::internal::TypedSimpleState;
use tract_core::prelude::{Assertion, Tensor};

use crate::guard::guarded;
use crate::input::Signature;
use crate::network::Network;
use crate::pulse::PulsedModel;
use crate::symbol::about;
use crate::track::{Due, Track};
use crate::{CompileOptions, Fact, Result, Runnable, Stage};

/// A pulsed model optimised for this processor, for any number of streams.
#[derive(Debug)]
pub struct PulsedRunnable {
    pub(crate) runnable: Arc<Runnable>,
    pub(crate) pulsed: PulsedModel,
    /// What the inputs of the batch model must be.
    pub(crate) signature: Signature,
    /// What the file asserts of the stream's length.
    pub(crate) bounds: Vec<Assertion>,
}

/// One stream through a pulsed model.
#[derive(Clone, Debug)]
pub struct Stream {
    track: Track,
    network: Network,
}

impl PulsedModel {
    /// Optimises the model and plans its execution.
    ///
    /// # Errors
    /// With [`Stage::Compile`], when tract can't optimise it or can't start the threads.
    pub fn compile(&self, options: CompileOptions) -> Result<PulsedRunnable> {
        let runnable = self.model.compile(options)?;
        guarded(Stage::Compile, || {
            let (runnable, pulsed) = (Arc::new(runnable), self.clone());
            let signature = Signature::new(&self.batch)?;
            let bounds = about(&self.batch.symbols.all_assertions(), &self.symbol);
            Ok(PulsedRunnable { runnable, pulsed, signature, bounds })
        })
    }
}

impl PulsedRunnable {
    /// What a stream takes: the inputs of the batch model.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = &Fact> {
        self.signature.facts()
    }

    /// The compiled network for one pulse.
    pub fn runnable(&self) -> &Arc<Runnable> {
        &self.runnable
    }

    /// The model it was compiled from.
    pub fn pulsed(&self) -> &PulsedModel {
        &self.pulsed
    }
}

impl Stream {
    /// A stream that begins, with `fixed` for the inputs that don't stream.
    ///
    /// # Errors
    /// With [`Stage::Run`], when `fixed` does not have exactly those.
    pub fn new(runnable: Arc<PulsedRunnable>, fixed: Vec<Option<Tensor>>) -> Result<Stream> {
        guarded(Stage::Run, || {
            let network = Network::new(&runnable.runnable.plan)?;
            Ok(Stream { track: Track::new(runnable, fixed)?, network })
        })
    }

    /// The model's streams.
    pub fn runnable(&self) -> &Arc<PulsedRunnable> {
        &self.track.runnable
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

    /// Goes back to the start.
    ///
    /// # Errors
    /// When tract can't make a state.
    pub fn reset(&mut self) -> Result<()> {
        let plan = &self.track.runnable.runnable.plan;
        self.network = guarded(Stage::Run, || Network::new(plan))?;
        self.track.reset();
        Ok(())
    }

    /// Takes the next frames of the streaming inputs, in the inputs' order, and gives those of
    /// each output that are ready; nothing for an output that does not stream.
    ///
    /// # Errors
    /// With [`Stage::Run`], when the chunks don't fit or tract fails, with [`Stage::Symbol`], when
    /// an assertion forbids a stream as long as this one gets. The stream is then as it was.
    pub fn push(&mut self, chunks: Vec<Tensor>) -> Result<Vec<Option<Tensor>>> {
        let due = guarded(Stage::Run, || self.track.push(chunks))?;
        self.compute(due)
    }

    /// Ends the stream and gives the frames of each output that were still to come, and all of
    /// an output that does not stream.
    ///
    /// # Errors
    /// As [`Stream::push`].
    pub fn flush(&mut self) -> Result<Vec<Option<Tensor>>> {
        let due = guarded(Stage::Run, || self.track.flush())?;
        self.compute(due)
    }

    fn compute(&mut self, due: Due) -> Result<Vec<Option<Tensor>>> {
        let runnable = Arc::clone(&self.track.runnable);
        runnable.runnable.workers.compute(|| self.network.compute(&mut self.track, due))
    }
}

impl PulsedModel {
    /// Tells `state` where the stream ends, if that is known; tract forgets it after each turn.
    pub(crate) fn bind_end(&self, state: &mut TypedSimpleState, end: Option<i64>) {
        if let Some(end) = end {
            state.turn_state.resolved_symbols.set(&self.symbol, end);
        }
    }
}
