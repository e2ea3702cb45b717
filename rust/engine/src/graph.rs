//! What a graph holds, for a person to read.

use tract_core::prelude::{DatumType, SymbolValues, Tensor, TypedModel};

use crate::Fact;
use crate::tensor::to_plain;

/// A node of a graph, for a person to read.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name in the graph.
    pub name: String,
    /// The operator's name.
    pub op: String,
    /// Names of the nodes it reads.
    pub inputs: Vec<String>,
    /// What it gives.
    pub outputs: Vec<Fact>,
}

/// What a file says of itself under some name.
#[derive(Clone, Debug)]
pub enum Property {
    /// Text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// A number or several.
    Numbers(Tensor),
}

impl Property {
    pub(crate) fn new(value: &Tensor) -> anyhow::Result<Property> {
        if value.datum_type() != DatumType::String {
            return Ok(Property::Numbers(to_plain(value.clone(), &SymbolValues::default())?));
        }
        let plain = value.try_as_plain_ram()?;
        Ok(match plain.as_slice::<String>()? {
            [text] if value.rank() == 0 => Property::Text(text.clone()),
            texts => Property::Texts(texts.to_vec()),
        })
    }
}

/// A property of `graph` by its name, if it has it.
pub(crate) fn property(graph: &TypedModel, name: &str) -> anyhow::Result<Option<Property>> {
    graph.properties.get(name).map(|value| Property::new(value)).transpose()
}

/// The properties of `graph`, in the order of their names.
pub(crate) fn properties(graph: &TypedModel) -> anyhow::Result<Vec<(String, Property)>> {
    let mut named: Vec<_> = graph.properties.iter().collect();
    named.sort_by_key(|(name, _)| *name);
    named.into_iter().map(|(name, value)| Ok((name.clone(), Property::new(value)?))).collect()
}

/// The nodes of `graph`, in an order in which they can be computed.
pub(crate) fn nodes(graph: &TypedModel) -> anyhow::Result<Vec<Node>> {
    graph
        .eval_order()?
        .into_iter()
        .map(|id| {
            let node = graph.node(id);
            let name =
                |outlet: usize| graph.outlet_label((id, outlet).into()).unwrap_or(&node.name);
            Ok(Node {
                name: node.name.clone(),
                op: node.op.name().into_owned(),
                inputs: node.inputs.iter().map(|o| graph.node(o.node).name.clone()).collect(),
                outputs: (node.outputs.iter().enumerate())
                    .map(|(slot, o)| Fact::new(name(slot), &o.fact))
                    .collect(),
            })
        })
        .collect()
}
