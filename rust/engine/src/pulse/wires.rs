//! What a pulsed model computes on its way, beside what the batch model does.

use anyhow::Context;
use tract_core::prelude::{OutletId, Symbol, TypedModel};

use super::attention::gives_pairs;
use super::rules::axis_of;
use super::translate::{layer, module};
use super::{PulsedModel, Translation};
use crate::guard::guarded;
use crate::tensor::DType;
use crate::{Fact, Model, Result, Stage};

/// A value that streams inside of a model.
#[derive(Clone, Debug)]
pub struct Wire {
    /// As the batch model has it.
    pub fact: Fact,
    /// The layer that gives it, for a person to read.
    pub layer: String,
    /// The path of the module that the layer comes from, where the file tells.
    pub module: Option<String>,
    outlet: OutletId,
}

impl Model {
    /// What streams inside of the model, as [`Model::pulse_unequal`] streams it, in an order in
    /// which it is computed.
    ///
    /// # Errors
    /// As [`Model::pulse_unequal`].
    pub fn wires(&self, symbol: &str, pulse: i64) -> Result<Vec<Wire>> {
        let symbol = guarded(Stage::Symbol, || self.free_symbol(symbol))?;
        guarded(Stage::Pulse, || {
            let (batch, translation) = self.translation(&symbol, pulse, true)?;
            wires(&batch, &translation, &symbol)
        })
    }

    /// The model and the pulsed one with wires for outputs, given by their names.
    ///
    /// # Errors
    /// As [`Model::pulse_unequal`], and when there is no such wire.
    pub fn tap(&self, symbol: &str, pulse: i64, names: &[String]) -> Result<(Model, PulsedModel)> {
        let symbol = guarded(Stage::Symbol, || self.free_symbol(symbol))?;
        guarded(Stage::Pulse, || {
            let (mut batch, mut translation) = self.translation(&symbol, pulse, true)?;
            let known = wires(&batch, &translation, &symbol)?;
            let outlet_of = |name: &String| {
                let wire = known.iter().find(|wire| wire.fact.name == *name);
                wire.map(|wire| wire.outlet).with_context(|| format!("no wire is called {name}"))
            };
            let outlets = names.iter().map(outlet_of).collect::<anyhow::Result<Vec<_>>>()?;
            batch.select_output_outlets(&outlets)?;
            let cut: Vec<_> = outlets.iter().map(|o| translation.mapping[o]).collect();
            translation.graph.select_output_outlets(&cut)?;
            Ok((Model::new(batch, names)?, self.pulsed(translation, symbol, pulse, names)?))
        })
    }
}

/// What streams in both graphs and is of a type that the outside knows.
fn wires(
    batch: &TypedModel,
    translation: &Translation,
    symbol: &Symbol,
) -> anyhow::Result<Vec<Wire>> {
    let Translation { mapping, graph, .. } = translation;
    let mut wires = vec![];
    for id in batch.eval_order()? {
        let node = batch.node(id);
        if gives_pairs(node, symbol) {
            continue; // cut otherwise than the batch model has them
        }
        for (slot, output) in node.outputs.iter().enumerate() {
            let outlet = OutletId::new(id, slot);
            let streams = axis_of(&output.fact, symbol).is_some()
                && graph.outlet_fact(mapping[&outlet])?.stream.is_some();
            if streams && !is_input(batch, outlet)? && DType::of(output.fact.datum_type).is_some() {
                let name = match (batch.outlet_label(outlet), slot) {
                    (Some(label), _) => label.to_string(),
                    (None, 0) => node.name.clone(),
                    (None, _) => format!("{}.{slot}", node.name),
                };
                wires.push(Wire {
                    fact: Fact::new(&name, &output.fact),
                    layer: layer(batch, node),
                    module: module(batch, node),
                    outlet,
                });
            }
        }
    }
    Ok(wires)
}

fn is_input(graph: &TypedModel, outlet: OutletId) -> anyhow::Result<bool> {
    Ok(graph.input_outlets()?.contains(&outlet))
}
