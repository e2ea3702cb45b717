//! One stream's account: what it takes, the pulses that are due, and the frames to give out.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use tract_core::prelude::{
    Assertion, IntoTValue, IntoTensor, Symbol, SymbolValues, TValue, TVec, Tensor,
};

use crate::position::{Position, part};
use crate::pulse::PulsedModel;
use crate::stream::PulsedRunnable;
use crate::symbol::check_assertions;
use crate::tensor::to_plain;
use crate::{Error, Stage};

/// Far beyond any stream: what an assertion forbids here and now, it forbids from here on.
const FAR: i64 = 1 << 50;

/// How far one stream has come, and what it is held to. The network's own state is elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub runnable: Arc<PulsedRunnable>,
    /// The inputs that don't stream.
    pub fixed: Vec<Option<Tensor>>,
    pub at: Position,
}

/// Pulses that are due, and where the stream will be once they are computed. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    next: Position,
    /// Of each input: the frames of all pulses, or what does not stream.
    frames: Vec<TValue>,
    pub turns: usize,
    /// The symbol's value at the stream's end, if this is it.
    pub end: Option<i64>,
    /// What the last pulse gave that does not stream.
    last: Vec<Option<TValue>>,
}

impl Track {
    pub fn new(runnable: Arc<PulsedRunnable>, fixed: Vec<Option<Tensor>>) -> anyhow::Result<Track> {
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
        let at = Position::start(&runnable.pulsed);
        Ok(Track { runnable, fixed, at })
    }

    /// Names of the inputs that stream, in order.
    pub fn streaming_inputs(&self) -> Vec<String> {
        let streaming = self.fixed.iter().zip(self.runnable.inputs());
        streaming.filter(|(fixed, _)| fixed.is_none()).map(|(_, fact)| fact.name.clone()).collect()
    }

    /// Back to the start.
    pub fn reset(&mut self) {
        self.at = Position::start(self.pulsed());
    }

    /// The pulses that `chunks` complete.
    pub fn push(&self, chunks: Vec<Tensor>) -> anyhow::Result<Due> {
        self.check_open()?;
        let pulsed = self.pulsed();
        let mut next = self.at.clone();
        let inputs = self.with_fixed(chunks)?;
        let units = self.bind(&inputs, &mut next)?;
        let turns = (next.pushed - next.turns * pulsed.pulse + units) / pulsed.pulse;
        let turns = usize::try_from(turns)?;
        next.pushed += units;
        self.check_length(&next)?;
        let mut frames = vec![];
        for ((axis, pending), input) in pulsed.inputs.iter().zip(&mut next.pending).zip(inputs) {
            let Some(axis) = axis else {
                frames.push(input.into_tvalue());
                continue;
            };
            let known = match pending.take() {
                Some(pending) => Tensor::stack_tensors(axis.axis, &[pending, input])?,
                None => input,
            };
            let (done, len) = (turns * axis.pulse, known.shape()[axis.axis]);
            if done < len {
                *pending = Some(part(&known, axis, done, len)?);
                frames.push(part(&known, axis, 0, done)?.into_tvalue());
            } else {
                frames.push(known.into_tvalue());
            }
        }
        Ok(Due { next, frames, turns, end: None, last: vec![None; pulsed.outputs.len()] })
    }

    /// The pulses until all frames have come out, were the stream to end here.
    pub fn flush(&self) -> anyhow::Result<Due> {
        self.check_open()?;
        let pulsed = self.pulsed();
        let mut next = self.at.clone();
        let values = next.values(pulsed);
        self.check_end(&values)?;
        let turns = usize::try_from((self.turns_to_end()? - next.turns).max(0))?;
        let frames = if turns == 0 { vec![] } else { self.padded(&mut next, turns, &values)? };
        let frames = frames.into_iter().map(IntoTValue::into_tvalue).collect();
        next.ended = true;
        let end = Some(next.pushed);
        Ok(Due { next, frames, turns, end, last: vec![None; pulsed.outputs.len()] })
    }

    /// Moves on to where `due` leads, once all its pulses are computed, and gives the frames of
    /// each output that are ready.
    pub fn done(&mut self, due: Due) -> anyhow::Result<Vec<Option<Tensor>>> {
        let Due { mut next, end, last, .. } = due;
        let pulsed = self.pulsed();
        let mut outputs = next.collect(pulsed)?;
        if end.is_some() {
            let values = next.values(pulsed);
            for (output, last) in outputs.iter_mut().zip(last) {
                if output.is_none()
                    && let Some(last) = last
                {
                    *output = Some(to_plain(last.into_tensor(), &values)?);
                }
            }
        }
        self.at = next;
        Ok(outputs)
    }

    pub fn pulsed(&self) -> &PulsedModel {
        &self.runnable.pulsed
    }

    fn check_open(&self) -> anyhow::Result<()> {
        ensure!(!self.at.ended, "the stream was flushed: reset it, or begin another");
        Ok(())
    }

    /// Refuses a stream that ends here where the batch model takes none of that length.
    fn check_end(&self, values: &SymbolValues) -> anyhow::Result<()> {
        let pulsed = self.pulsed();
        let (symbol, n) = (&pulsed.symbol, self.at.pushed);
        check_assertions(&pulsed.batch.symbols, &pulsed.model.assertions, values)?;
        if pulsed.is_irregular(n) {
            let message = format!(
                "{symbol}={n} is not allowed: of so short a stream, parts that meet have different \
                 lengths; push more"
            );
            bail!(Error::new(Stage::Symbol, message));
        }
        Ok(())
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
        let others = || self.runnable.signature.symbols().iter().filter(|other| *other != symbol);
        let Some(known) = &next.symbols else {
            let values = others().filter_map(|other| Some((other, bound.get(other)?)));
            let bound = |known: SymbolValues, (other, value): (_, i64)| known.with(other, value);
            next.symbols = Some(values.fold(SymbolValues::default(), bound));
            return Ok(units);
        };
        if let Some(other) = others().find(|other| bound.get(other) != known.get(other)) {
            let told =
                |values: &SymbolValues| values.get(other).map_or("?".into(), |n| n.to_string());
            bail!(
                "the chunk has {other}={}, the stream began with {other}={}",
                told(&bound),
                told(known)
            );
        }
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
        let now = next.values(pulsed);
        let later = next.values(pulsed).with(&pulsed.symbol, FAR);
        let broken =
            |a: &&Assertion| a.check(&now) == Some(false) && a.check(&later) == Some(false);
        let broken: Vec<_> = self.runnable.bounds.iter().filter(broken).cloned().collect();
        if broken.is_empty() {
            return Ok(());
        }
        check_assertions(&pulsed.batch.symbols, &broken, &now)
    }

    /// How many turns it takes, from the start, until all frames of all outputs have come out.
    fn turns_to_end(&self) -> anyhow::Result<i64> {
        let mut turns = 0;
        for output in &self.pulsed().outputs {
            let Some(axis) = output else {
                turns = turns.max(1);
                continue;
            };
            let frames = self.pulsed().length(axis, self.at.pushed)?;
            if frames > 0 {
                let last = frames + i64::try_from(axis.delay)?;
                let pulse = i64::try_from(axis.pulse)?;
                turns = turns.max((last + pulse - 1) / pulse);
            }
        }
        Ok(turns)
    }

    /// The inputs of `turns` pulses: what is left of them, then zeros.
    fn padded(
        &self,
        next: &mut Position,
        turns: usize,
        values: &SymbolValues,
    ) -> anyhow::Result<Vec<Tensor>> {
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
            let mut shape: TVec<usize> = shape.into_owned();
            shape[axis.axis] *= turns;
            let mut frames = Tensor::zero_dt(fact.datum_type, &shape)?;
            if let Some(pending) = next.pending[i].take() {
                let len = pending.shape()[axis.axis];
                frames.assign_slice(..len, &pending, ..len, axis.axis)?;
            }
            inputs.push(frames);
        }
        Ok(inputs)
    }
}

impl Due {
    /// The inputs of one of the pulses.
    pub fn inputs(&self, pulsed: &PulsedModel, turn: usize) -> anyhow::Result<TVec<TValue>> {
        let inputs = pulsed.inputs.iter().zip(&self.frames).map(|(axis, frames)| match axis {
            Some(axis) if self.turns > 1 => {
                let pulse = part(frames, axis, turn * axis.pulse, (turn + 1) * axis.pulse);
                Ok(pulse?.into_tvalue())
            }
            _ => Ok(frames.clone()),
        });
        inputs.collect()
    }

    /// How many turns the stream has had before this one.
    pub fn age(&self) -> i64 {
        self.next.turns
    }

    /// The value that the chunks bind `symbol` to, if they do.
    pub fn symbol(&self, symbol: &Symbol) -> Option<i64> {
        self.next.symbols.as_ref().and_then(|known| known.get(symbol))
    }

    /// Takes what one of the pulses gave; they come in order.
    pub fn took(&mut self, pulsed: &PulsedModel, outputs: TVec<TValue>) -> anyhow::Result<()> {
        self.last = self.next.took(pulsed, outputs)?;
        Ok(())
    }
}
