//! A stream through a pulsed model: chunks of any length in, the batch model's frames out.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use tract_core::prelude::{IntoTensor, SymbolValues, Tensor};

use crate::guard::guarded;
use crate::input::Signature;
use crate::position::{Position, part};
use crate::pulse::PulsedModel;
use crate::symbol::{check_assertions, told};
use crate::tensor::to_plain;
use crate::{CompileOptions, Error, Fact, Result, Runnable, Stage};

/// Far beyond any stream: what an assertion forbids here and now, it forbids from here on.
const FAR: i64 = 1 << 50;

/// A pulsed model optimised for this processor, for any number of streams.
#[derive(Debug)]
pub struct PulsedRunnable {
    pub(crate) runnable: Arc<Runnable>,
    pub(crate) pulsed: PulsedModel,
    /// What the inputs of the batch model must be.
    signature: Signature,
}

/// One stream through a pulsed model.
#[derive(Clone, Debug)]
pub struct Stream {
    runnable: Arc<PulsedRunnable>,
    /// The inputs that don't stream.
    fixed: Vec<Option<Tensor>>,
    at: Position,
}

impl PulsedModel {
    /// Optimises the model and plans its execution.
    ///
    /// # Errors
    /// With [`Stage::Compile`], when tract can't optimise it or can't start the threads.
    pub fn compile(&self, options: CompileOptions) -> Result<PulsedRunnable> {
        let runnable = self.model.compile(options)?;
        guarded(Stage::Compile, || {
            let signature = Signature::new(&self.batch)?;
            Ok(PulsedRunnable { runnable: Arc::new(runnable), pulsed: self.clone(), signature })
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
            runnable.signature.check_count(fixed.len())?;
            let facts = runnable.signature.facts();
            for ((axis, value), fact) in runnable.pulsed.inputs.iter().zip(&fixed).zip(facts) {
                match (axis, value) {
                    (None, None) => bail!(
                        "input {fact}: missing, it does not stream: give it when the stream begins"
                    ),
                    (Some(_), Some(_)) => bail!("input {fact}: it streams: push it"),
                    _ => (),
                }
            }
            let at = Position::start(&runnable)?;
            Ok(Stream { runnable, fixed, at })
        })
    }

    /// The model's streams.
    pub fn runnable(&self) -> &Arc<PulsedRunnable> {
        &self.runnable
    }

    /// Names of the inputs that stream, in order.
    pub fn streaming_inputs(&self) -> Vec<String> {
        let streaming = self.fixed.iter().zip(self.runnable.inputs());
        streaming.filter(|(fixed, _)| fixed.is_none()).map(|(_, fact)| fact.name.clone()).collect()
    }

    /// The symbol's value for what was pushed so far.
    pub fn position(&self) -> i64 {
        self.at.pushed
    }

    /// Whether it was flushed.
    pub fn ended(&self) -> bool {
        self.at.ended
    }

    /// Goes back to the start.
    ///
    /// # Errors
    /// When tract can't make a state.
    pub fn reset(&mut self) -> Result<()> {
        self.at = guarded(Stage::Run, || Position::start(&self.runnable))?;
        Ok(())
    }

    /// Takes the next frames of the streaming inputs, in the inputs' order, and gives those of
    /// each output that are ready; nothing for an output that does not stream.
    ///
    /// # Errors
    /// With [`Stage::Run`], when the chunks don't fit or tract fails, with [`Stage::Symbol`], when
    /// an assertion forbids a stream as long as this one gets. The stream is then as it was.
    pub fn push(&mut self, chunks: Vec<Tensor>) -> Result<Vec<Option<Tensor>>> {
        let runnable = Arc::clone(&self.runnable);
        runnable.runnable.workers.compute(|| {
            guarded(Stage::Run, || {
                let (next, outputs) = self.pushed(chunks)?;
                self.at = next;
                Ok(outputs)
            })
        })
    }

    /// Ends the stream and gives the frames of each output that were still to come, and all of
    /// an output that does not stream.
    ///
    /// # Errors
    /// As [`Stream::push`].
    pub fn flush(&mut self) -> Result<Vec<Option<Tensor>>> {
        let runnable = Arc::clone(&self.runnable);
        runnable.runnable.workers.compute(|| {
            guarded(Stage::Run, || {
                let (next, outputs) = self.flushed()?;
                self.at = next;
                Ok(outputs)
            })
        })
    }

    fn pulsed(&self) -> &PulsedModel {
        &self.runnable.pulsed
    }

    fn check_open(&self) -> anyhow::Result<()> {
        ensure!(!self.at.ended, "the stream was flushed: reset it, or begin another");
        Ok(())
    }

    fn pushed(&self, chunks: Vec<Tensor>) -> anyhow::Result<(Position, Vec<Option<Tensor>>)> {
        self.check_open()?;
        let pulsed = self.pulsed();
        let mut next = self.at.clone();
        let inputs = self.with_fixed(chunks)?;
        let units = self.bind(&inputs, &mut next)?;
        let fresh = (next.pushed - next.turns * pulsed.pulse + units) / pulsed.pulse;
        let done = usize::try_from(fresh)?;
        next.pushed += units;
        self.check_length(&next)?;
        let mut frames = vec![];
        for ((axis, pending), input) in pulsed.inputs.iter().zip(&mut next.pending).zip(inputs) {
            frames.push(match (axis, pending.take()) {
                (Some(axis), Some(pending)) => Tensor::stack_tensors(axis.axis, &[pending, input])?,
                _ => input,
            });
        }
        for pulse in 0..done {
            let inputs = pulsed.inputs.iter().zip(&frames).map(|(axis, frames)| match axis {
                Some(axis) => part(frames, axis, pulse * axis.pulse, (pulse + 1) * axis.pulse),
                None => Ok(frames.clone()),
            });
            next.turn(pulsed, inputs.collect::<anyhow::Result<_>>()?, None)?;
        }
        for ((axis, pending), frames) in pulsed.inputs.iter().zip(&mut next.pending).zip(frames) {
            if let Some(axis) = axis {
                let len = frames.shape()[axis.axis];
                *pending = Some(part(&frames, axis, done * axis.pulse, len)?);
            }
        }
        let outputs = next.collect(&self.runnable)?;
        Ok((next, outputs))
    }

    fn flushed(&self) -> anyhow::Result<(Position, Vec<Option<Tensor>>)> {
        self.check_open()?;
        let pulsed = self.pulsed();
        let mut next = self.at.clone();
        let values = next.values(pulsed);
        check_assertions(&pulsed.batch.symbols, &pulsed.model.assertions, &values)?;
        if pulsed.is_irregular(next.pushed) {
            let (symbol, n) = (&pulsed.symbol, next.pushed);
            let message = format!(
                "{symbol}={n} is not allowed: of so short a stream, parts that meet have different \
                 lengths; push more"
            );
            bail!(Error::new(Stage::Symbol, message));
        }
        let mut last = vec![None; pulsed.outputs.len()];
        while next.turns < self.turns_to_end(&next)? {
            let inputs = self.padded(&mut next, &values)?;
            last = next.turn(pulsed, inputs, Some(next.pushed))?;
        }
        next.ended = true;
        let mut outputs = next.collect(&self.runnable)?;
        for (output, last) in outputs.iter_mut().zip(last) {
            if output.is_none()
                && let Some(last) = last
            {
                *output = Some(to_plain(last.into_tensor(), &values)?);
            }
        }
        Ok((next, outputs))
    }

    /// The fixed inputs and `chunks`, in the inputs' order.
    fn with_fixed(&self, chunks: Vec<Tensor>) -> anyhow::Result<Vec<Tensor>> {
        let streaming = self.fixed.iter().filter(|input| input.is_none()).count();
        ensure!(
            chunks.len() == streaming,
            "{} chunks given, {streaming} inputs stream",
            chunks.len()
        );
        let mut chunks = chunks.into_iter();
        let inputs = self.fixed.iter().map(|fixed| fixed.clone().or_else(|| chunks.next()));
        inputs.collect::<Option<_>>().context("as many chunks as inputs stream")
    }

    /// The symbol's value for the chunks in `inputs`, once they fit the model and earlier chunks.
    fn bind(&self, inputs: &[Tensor], next: &mut Position) -> anyhow::Result<i64> {
        let symbol = &self.pulsed().symbol;
        let bound = self.runnable.signature.bind(inputs)?;
        let units = bound.get(symbol).with_context(|| format!("no chunk has {symbol} frames"))?;
        let mut others = SymbolValues::default();
        for (other, value) in bound.to_dim_map() {
            if other != *symbol
                && let Some(value) = value.as_i64()
            {
                others.set(&other, value);
            }
        }
        if let Some(known) = &next.symbols {
            let (new, old) = (told(&others), told(known));
            ensure!(new == old, "the chunk has {new}, the stream began with {old}");
        }
        next.symbols = Some(others);
        Ok(units)
    }

    /// Refuses a stream that is longer than an assertion allows.
    fn check_length(&self, next: &Position) -> anyhow::Result<()> {
        let pulsed = self.pulsed();
        if let Some((longest, why)) = &pulsed.limit {
            ensure!(
                next.pushed <= *longest,
                "{}={}: the stream can't get longer than {longest}: {why}",
                pulsed.symbol,
                next.pushed
            );
        }
        let scope = &pulsed.batch.symbols;
        let assertions = scope.all_assertions();
        let now = next.values(pulsed);
        let later = next.values(pulsed).with(&pulsed.symbol, FAR);
        let broken: Vec<_> = assertions
            .into_iter()
            .filter(|a| a.check(&now) == Some(false) && a.check(&later) == Some(false))
            .collect();
        check_assertions(scope, &broken, &now)
            .or_else(|e| if broken.is_empty() { Ok(()) } else { Err(e) })
    }

    /// How many turns it takes until all frames of all outputs have come out.
    fn turns_to_end(&self, next: &Position) -> anyhow::Result<i64> {
        let mut turns = 0;
        for output in &self.pulsed().outputs {
            let Some(axis) = output else {
                turns = turns.max(1);
                continue;
            };
            let frames = self.pulsed().length(axis, next.pushed)?;
            if frames > 0 {
                let last = frames + i64::try_from(axis.delay)?;
                let pulse = i64::try_from(axis.pulse)?;
                turns = turns.max((last + pulse - 1) / pulse);
            }
        }
        Ok(turns)
    }

    /// The next pulse of the inputs: what is left of them, then zeros.
    fn padded(&self, next: &mut Position, values: &SymbolValues) -> anyhow::Result<Vec<Tensor>> {
        let mut inputs = vec![];
        for (i, axis) in self.pulsed().inputs.iter().enumerate() {
            let Some(axis) = axis else {
                inputs.extend(self.fixed[i].clone());
                continue;
            };
            let fact = self.pulsed().model.graph.input_fact(i)?;
            let shape = fact.shape.eval_to_usize(values).context(
                "nothing was pushed, so the sizes of the outputs are unknown: push an empty chunk",
            )?;
            let mut pulse = Tensor::zero_dt(fact.datum_type, &shape)?;
            if let Some(pending) = next.pending[i].take() {
                let len = pending.shape()[axis.axis];
                pulse.assign_slice(..len, &pending, ..len, axis.axis)?;
            }
            inputs.push(pulse);
        }
        Ok(inputs)
    }
}
