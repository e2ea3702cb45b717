//! Models that compute a stream of frames, a pulse of them at a time.

mod archive;
mod attention;
mod layers;
mod operators;
mod reflect;
mod rewrite;
mod rules;
mod translate;
mod unequal;
mod values;
mod wires;
mod writable;

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use tract_core::internal::TDim;
use tract_core::model::translator::Translate;
use tract_core::ops::identity::Identity;
use tract_core::prelude::{Assertion, OutletId, Symbol, SymbolValues, TypedModel};
use tract_pulse::internal::{PulsedFact, PulsedModelExt};
use tract_pulse_opl::ops::PulsedAxisSlice;

use crate::declutter::declutter;
use crate::guard::{describe, guarded};
use crate::symbol::{SymbolValue, about};
use crate::{Error, Model, Result, Stage};
pub(crate) use rules::{Treatment, treatment};
pub(crate) use translate::layer;
use translate::{Mapping, Reaches, Translator};
pub use wires::Wire;

/// How many pulses are tried for a message about the one that does not fit.
const TRIED: usize = 128;

/// The longest of them.
const FARTHEST: i64 = 1 << 16;

/// Far longer than any pulse that fits in memory, and short enough to count in.
const LONGEST: i64 = 1 << 32;

/// How a tensor takes part in a stream.
#[derive(Clone, Debug)]
pub struct StreamAxis {
    /// The axis of the frames.
    pub axis: usize,
    /// Frames in each pulse.
    pub pulse: usize,
    /// The first frames that come out before the stream's first.
    pub delay: usize,
    /// Frames in all, as an expression over the symbol.
    pub(crate) length: TDim,
}

/// A model that computes a pulse of frames at a time. Immutable and cheap to clone.
#[derive(Clone, Debug)]
pub struct PulsedModel {
    /// The pulsed graph: its inputs and outputs are one pulse long.
    pub(crate) model: Model,
    /// The inputs alone, as the batch model has them.
    pub(crate) batch: Arc<TypedModel>,
    pub(crate) symbol: Symbol,
    pub(crate) pulse: i64,
    pub(crate) inputs: Vec<Option<StreamAxis>>,
    pub(crate) outputs: Vec<Option<StreamAxis>>,
    /// Lengths that no stream may have.
    pub(crate) irregular: Vec<i64>,
    /// The longest stream that it takes, and why.
    pub(crate) limit: Option<(i64, String)>,
    /// The layers that give other numbers than the batch model's, and why.
    pub(crate) unequal: Vec<String>,
}

impl Model {
    /// The model that computes `pulse` frames of the stream of `symbol` at a time.
    ///
    /// # Errors
    /// With [`Stage::Symbol`], when the symbol is unknown or has a value; with [`Stage::Pulse`],
    /// when the model can't stream, or not by pulses of that length.
    pub fn pulse(&self, symbol: &str, pulse: i64) -> Result<PulsedModel> {
        self.pulse_by(symbol, pulse, false)
    }

    /// As [`Model::pulse`], and layers that can't stream but by computing something else are let
    /// through where tract has a way to: [`PulsedModel::unequal`] tells which.
    ///
    /// # Errors
    /// As [`Model::pulse`], for what tract has no way to stream.
    pub fn pulse_unequal(&self, symbol: &str, pulse: i64) -> Result<PulsedModel> {
        self.pulse_by(symbol, pulse, true)
    }

    fn pulse_by(&self, symbol: &str, pulse: i64, allow_unequal: bool) -> Result<PulsedModel> {
        let symbol = guarded(Stage::Symbol, || self.free_symbol(symbol))?;
        guarded(Stage::Pulse, || {
            let (_, translation) = self.translation(&symbol, pulse, allow_unequal)?;
            let names: Vec<String> = self.outputs().iter().map(|fact| fact.name.clone()).collect();
            self.pulsed(translation, symbol, pulse, &names)
        })
    }

    /// The graph that is cut, and what it is cut into.
    fn translation(
        &self,
        symbol: &Symbol,
        pulse: i64,
        allow_unequal: bool,
    ) -> anyhow::Result<(TypedModel, Translation)> {
        ensure!(pulse > 0, "{symbol}={pulse}: a pulse has at least one frame");
        ensure!(pulse <= LONGEST, "{symbol}={pulse}: a pulse has at most {LONGEST} frames");
        let graph = self.streamable(symbol)?;
        let reaches = Reaches::default();
        let by = |pulse| translate(&graph, symbol, pulse, &reaches, allow_unequal);
        let translation = by(pulse)
            .map_err(|error| refusal(by, &self.equations(symbol), symbol, pulse, &error))?;
        Ok((graph, translation))
    }

    /// What the file says of the numbers that `symbol` is a multiple of.
    fn equations(&self, symbol: &Symbol) -> Vec<Assertion> {
        let assertions = about(&self.assertions, symbol).into_iter();
        assertions.filter(|assertion| matches!(assertion, Assertion::Eq(..))).collect()
    }

    /// The graph as the pulsifiers want it.
    fn streamable(&self, symbol: &Symbol) -> anyhow::Result<TypedModel> {
        let streams = |dim: &TDim| dim.symbols().contains(symbol);
        let mut streaming = 0;
        for (i, fact) in self.inputs().iter().enumerate() {
            let shape = &self.graph.input_fact(i)?.shape;
            let dims: Vec<&TDim> = shape.iter().filter(|dim| streams(dim)).collect();
            ensure!(dims.len() < 2, "{symbol}: two axes of input {fact} depend on it");
            if let [dim] = dims[..] {
                let at = |n| translate::length(dim, symbol, n);
                ensure!(
                    at(0)? == 0 && at(7)? == 7 * at(1)?,
                    "{symbol}: input {fact} does not have a fixed number of frames for each \
                     {symbol}"
                );
                streaming += 1;
            }
        }
        ensure!(streaming > 0, "{symbol}: no input has an axis of that many frames");
        let mut graph = TypedModel::clone(&self.graph);
        declutter(&mut graph)?;
        rewrite::every_few_frames(&mut graph, symbol)?;
        declutter(&mut graph)?;
        rewrite::padded_averages(&mut graph, symbol)?;
        Ok(graph)
    }

    fn pulsed(
        &self,
        translation: Translation,
        symbol: Symbol,
        pulse: i64,
        names: &[String],
    ) -> anyhow::Result<PulsedModel> {
        let Translation { graph: pulsed, limit, irregular, unequal, .. } = translation;
        let stream_of = |fact: &PulsedFact| {
            let Some(stream) = &fact.stream else { return Ok(None) };
            let frames = fact.shape[stream.axis].as_i64().context("pulses of fixed length")?;
            Ok(Some(StreamAxis {
                axis: stream.axis,
                pulse: usize::try_from(frames)?,
                delay: stream.delay,
                length: writable::settled(&stream.dim, &symbol),
            }))
        };
        let axes = |outlets: &[OutletId]| {
            outlets
                .iter()
                .map(|o| stream_of(pulsed.outlet_fact(*o)?))
                .collect::<anyhow::Result<Vec<_>>>()
        };
        let (inputs, outputs) = (axes(pulsed.input_outlets()?)?, axes(pulsed.output_outlets()?)?);
        ensure!(outputs.iter().any(Option::is_some), "{symbol}: no output depends on the stream");
        let mut graph = pulsed.into_typed()?;
        for node in graph.nodes.iter_mut().filter(|node| node.op_is::<PulsedAxisSlice>()) {
            // What it says of the stream is known by now; tract has no way to write it.
            node.op = Box::new(Identity);
        }
        rewrite::downsampled(&mut graph)?;
        declutter(&mut graph)?;
        let mut batch = TypedModel { symbols: self.graph.symbols.clone(), ..TypedModel::default() };
        for (i, fact) in self.inputs().iter().enumerate() {
            batch.add_source(&*fact.name, self.graph.input_fact(i)?.without_value())?;
        }
        Ok(PulsedModel {
            model: Model::new(graph, names)?,
            batch: Arc::new(batch),
            symbol,
            pulse,
            inputs,
            outputs,
            limit,
            irregular,
            unequal,
        })
    }
}

/// A graph cut into pulses.
struct Translation {
    graph: tract_pulse::model::PulsedModel,
    /// Where the wires of the batch model's graph are.
    mapping: Mapping,
    limit: Option<(i64, String)>,
    irregular: Vec<i64>,
    unequal: Vec<String>,
}

fn translate(
    graph: &TypedModel,
    symbol: &Symbol,
    pulse: i64,
    reaches: &Reaches,
    allow_unequal: bool,
) -> anyhow::Result<Translation> {
    let translator = Translator::new(symbol, pulse, reaches, allow_unequal);
    let (graph, mapping) = translator.translate_model_with_mappings(graph)?;
    let irregular = translator.irregular();
    let limit = translator.limit.take();
    let unequal = translator.unequal.map(RefCell::into_inner).unwrap_or_default();
    Ok(Translation { graph, mapping, limit, irregular, unequal })
}

/// What to say of a graph that can't be pulsed.
fn refusal(
    by: impl Fn(i64) -> anyhow::Result<Translation>,
    equations: &[Assertion],
    symbol: &Symbol,
    pulse: i64,
    error: &anyhow::Error,
) -> anyhow::Error {
    let cause =
        error.downcast_ref::<Error>().map_or_else(|| describe(error), |e| e.message.clone());
    let mut message = format!("{symbol}={pulse}: {cause}");
    let fits = |pulse: &i64| guarded(Stage::Pulse, || by(*pulse)).is_ok();
    let whole = |pulse: &i64| {
        let values = SymbolValues::default().with(symbol, *pulse);
        equations.iter().all(|equation| equation.check(&values) != Some(false))
    };
    if let Some(least) = (1..=FARTHEST).filter(whole).take(TRIED).find(fits) {
        let multiples = fits(&(2 * least)) && fits(&(3 * least));
        let _ = match least {
            1 => write!(message, "; 1 does"),
            _ if multiples => write!(message, "; multiples of {least} do"),
            _ => write!(message, "; {least} does"),
        };
    }
    anyhow!(message)
}

impl PulsedModel {
    /// The pulsed network, whose inputs and outputs are one pulse long.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The symbol whose stream is cut into pulses.
    pub fn symbol(&self) -> String {
        self.symbol.to_string()
    }

    /// The symbol's value for one pulse.
    pub fn pulse(&self) -> i64 {
        self.pulse
    }

    /// How each input takes part in the stream, if it does.
    pub fn inputs(&self) -> &[Option<StreamAxis>] {
        &self.inputs
    }

    /// How each output takes part in the stream, if it does.
    pub fn outputs(&self) -> &[Option<StreamAxis>] {
        &self.outputs
    }

    /// The layers that give other numbers than the batch model's, and why; none but those that
    /// [`Model::pulse_unequal`] lets through.
    pub fn unequal(&self) -> &[String] {
        &self.unequal
    }

    /// The same model with values for other symbols than the stream's.
    ///
    /// # Errors
    /// As [`Model::set`].
    pub fn set(&self, values: &[(String, SymbolValue)]) -> Result<PulsedModel> {
        if let Some((name, value)) = values.iter().find(|(name, _)| *name == self.symbol()) {
            let message =
                format!("{name}={value}: {name} streams, its length is each stream's own");
            return Err(Error::new(Stage::Symbol, message));
        }
        let model = self.model.set(values)?;
        guarded(Stage::Symbol, || {
            let substitutions = self.model.substitutions(values)?;
            let batch = self.batch.set_symbols(&substitutions)?;
            Ok(PulsedModel { model, batch: Arc::new(batch), ..self.clone() })
        })
    }
}
