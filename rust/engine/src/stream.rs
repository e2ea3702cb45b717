//! A stream through a pulsed model: chunks of any length in, the batch model's frames out.

use std::mem;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use tract_core::internal::TypedSimpleState;
use tract_core::prelude::{IntoTValue, IntoTensor, SymbolValues, TDim, TVec, TValue, Tensor};

use crate::guard::guarded;
use crate::input::Signature;
use crate::pulse::{Count, PulsedModel, StreamAxis};
use crate::symbol::{check_assertions, told};
use crate::tensor::to_plain;
use crate::{CompileOptions, Fact, Result, Runnable, Stage};

/// Far beyond any stream: what an assertion forbids here and now, it forbids from here on.
const FAR: i64 = 1 << 50;

/// A pulsed model optimised for this processor, for any number of streams.
#[derive(Debug)]
pub struct PulsedRunnable {
    runnable: Arc<Runnable>,
    pulsed: PulsedModel,
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

/// How far a stream has come. Its parts are cheap to clone but for `state`.
#[derive(Clone, Debug)]
struct Position {
    state: TypedSimpleState,
    /// Of each streaming input, the frames that don't fill a pulse yet.
    pending: Vec<Option<Tensor>>,
    /// The values of the symbols but the stream's, once a chunk bound them.
    symbols: Option<SymbolValues>,
    /// The symbol's value for what was pushed so far.
    pushed: i64,
    /// Pulses computed so far.
    turns: i64,
    outputs: Vec<Progress>,
    ended: bool,
}

/// How far an output has come.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// Frames of it that were computed.
    computed: i64,
    /// Frames of it that were given out.
    given: i64,
    /// The computed ones that were not: they may turn out to lie beyond the end.
    held: Vec<Tensor>,
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
                    (None, None) => bail!("input {fact}: missing, it does not stream: give it when the stream begins"),
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
        let pulses = (next.pushed - next.turns * pulsed.pulse + units) / pulsed.pulse;
        next.pushed += units;
        self.check_length(&next)?;
        let mut frames = vec![];
        for ((axis, pending), input) in pulsed.inputs.iter().zip(&mut next.pending).zip(inputs) {
            frames.push(match (axis, pending.take()) {
                (Some(axis), Some(pending)) => {
                    Tensor::stack_tensors(axis.axis, &[pending, input])?
                }
                _ => input,
            });
        }
        for pulse in 0..usize::try_from(pulses)? {
            let inputs = pulsed.inputs.iter().zip(&frames).map(|(axis, frames)| match axis {
                Some(axis) => part(frames, axis, pulse * axis.pulse, (pulse + 1) * axis.pulse),
                None => Ok(frames.clone()),
            });
            next.turn(pulsed, inputs.collect::<anyhow::Result<_>>()?, None)?;
        }
        let done = usize::try_from(pulses)?;
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
        check_assertions(&pulsed.batch.symbols, &pulsed.batch.symbols.all_assertions(), &values)?;
        let unit = pulsed.count.unit;
        ensure!(
            next.pushed % unit == 0,
            "{}={}: attention sees chunks of {unit} frames, and the last is not full: a stream's \
             length must be a multiple of {unit}",
            pulsed.symbol,
            next.pushed
        );
        let mut last = vec![None; pulsed.outputs.len()];
        while next.turns < self.turns_to_end(&next)? {
            let inputs = self.padded(&mut next, &values)?;
            last = next.turn(pulsed, inputs, Some(next.pushed))?;
        }
        next.ended = true;
        let mut outputs = next.collect(&self.runnable)?;
        for (output, last) in outputs.iter_mut().zip(last) {
            if output.is_none() && let Some(last) = last {
                *output = Some(to_plain(last.into_tensor(), &values)?);
            }
        }
        Ok((next, outputs))
    }

    /// The fixed inputs and `chunks`, in the inputs' order.
    fn with_fixed(&self, chunks: Vec<Tensor>) -> anyhow::Result<Vec<Tensor>> {
        let streaming = self.fixed.iter().filter(|input| input.is_none()).count();
        ensure!(chunks.len() == streaming, "{} chunks given, {streaming} inputs stream", chunks.len());
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
            if other != *symbol && let Some(value) = value.as_i64() {
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
        check_assertions(scope, &broken, &now).or_else(|e| if broken.is_empty() { Ok(()) } else { Err(e) })
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
                turns = turns.max((last as u64).div_ceil(axis.pulse as u64) as i64);
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

impl Position {
    fn start(runnable: &PulsedRunnable) -> anyhow::Result<Position> {
        let pulsed = &runnable.pulsed;
        Ok(Position {
            state: runnable.runnable.plan.spawn()?,
            pending: vec![None; pulsed.inputs.len()],
            symbols: None,
            pushed: 0,
            turns: 0,
            outputs: vec![Progress::default(); pulsed.outputs.len()],
            ended: false,
        })
    }

    /// The symbols' values were the stream to end here.
    fn values(&self, pulsed: &PulsedModel) -> SymbolValues {
        self.symbols.clone().unwrap_or_default().with(&pulsed.symbol, self.pushed)
    }

    /// Computes one pulse, at the stream's `end` if that is known; gives what does not stream.
    fn turn(
        &mut self,
        pulsed: &PulsedModel,
        inputs: Vec<Tensor>,
        end: Option<i64>,
    ) -> anyhow::Result<Vec<Option<TValue>>> {
        if let Some(end) = end {
            // tract forgets it after each turn.
            let count = &pulsed.count;
            self.state.turn_state.resolved_symbols.set(&count.symbol, end / count.unit);
        }
        let inputs: TVec<TValue> = inputs.into_iter().map(IntoTValue::into_tvalue).collect();
        let outputs = self.state.run(inputs)?;
        let mut fixed = vec![];
        for ((value, axis), progress) in
            outputs.into_iter().zip(&pulsed.outputs).zip(&mut self.outputs)
        {
            let Some(axis) = axis else {
                fixed.push(Some(value));
                continue;
            };
            fixed.push(None);
            let frames = i64::try_from(axis.pulse)?;
            let first = self.turns * frames - i64::try_from(axis.delay)?;
            if first + frames > progress.computed {
                let fresh = usize::try_from(progress.computed - first)?;
                progress.held.push(part(&value.into_tensor(), axis, fresh, axis.pulse)?);
                progress.computed = first + frames;
            }
        }
        self.turns += 1;
        Ok(fixed)
    }

    /// Takes the frames of each streaming output that the stream has wherever it ends from here.
    fn collect(&mut self, runnable: &PulsedRunnable) -> anyhow::Result<Vec<Option<Tensor>>> {
        let pulsed = &runnable.pulsed;
        let values = self.values(pulsed);
        let mut outputs = vec![];
        for (i, axis) in pulsed.outputs.iter().enumerate() {
            let Some(axis) = axis else {
                outputs.push(None);
                continue;
            };
            let progress = &mut self.outputs[i];
            let sure = pulsed.length(axis, self.pushed)?.min(progress.computed);
            let ready = usize::try_from((sure - progress.given).max(0))?;
            let held = mem::take(&mut progress.held);
            let frames = match held.len() {
                0 => {
                    let fact = pulsed.model.graph.output_fact(i)?;
                    let mut shape = fact.shape.to_tvec();
                    shape[axis.axis] = TDim::Val(0);
                    let sizes = shape.iter().map(|dim| Ok(usize::try_from(dim.eval_to_i64(&values)?)?));
                    let shape = sizes.collect::<anyhow::Result<Vec<usize>>>().context(
                        "nothing was pushed, so the sizes of the outputs are unknown: push an empty chunk",
                    )?;
                    Tensor::zero_dt(fact.datum_type, &shape)?
                }
                1 => held.into_iter().next().context("one")?,
                _ => Tensor::stack_tensors(axis.axis, &held)?,
            };
            let len = frames.shape()[axis.axis];
            if ready < len && !self.ended {
                progress.held.push(part(&frames, axis, ready, len)?);
            }
            progress.given += i64::try_from(ready)?;
            outputs.push(Some(to_plain(part(&frames, axis, 0, ready)?, &values)?));
        }
        Ok(outputs)
    }
}

impl PulsedModel {
    /// Frames in all of a stream that is `units` long.
    fn length(&self, axis: &StreamAxis, units: i64) -> anyhow::Result<i64> {
        let Count { symbol, unit, .. } = &self.count;
        axis.length.eval_to_i64(&SymbolValues::default().with(symbol, units / unit))
    }
}

/// The frames of `tensor` from `start` to `end`.
fn part(tensor: &Tensor, axis: &StreamAxis, start: usize, end: usize) -> anyhow::Result<Tensor> {
    if start == 0 && end == tensor.shape()[axis.axis] {
        return Ok(tensor.clone());
    }
    if start == end {
        let mut shape: TVec<usize> = tensor.shape().into();
        shape[axis.axis] = 0;
        return Tensor::zero_dt(tensor.datum_type(), &shape);
    }
    tensor.slice(axis.axis, start, end)
}

