//! What is known of an input or an output: its name, element type and shape.

use std::fmt;

use tract_core::prelude::{TDim, TypedFact, TypedModel};

use crate::tensor::DType;

/// One dimension: a number, or an expression over symbols as tract writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A known size.
    Size(i64),
    /// A size that depends on symbols, such as `B` or `(S+3)/4`.
    Symbolic(String),
}

impl From<&TDim> for Dim {
    fn from(dim: &TDim) -> Dim {
        dim.as_i64().map_or_else(|| Dim::Symbolic(dim.to_string()), Dim::Size)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Size(size) => size.fmt(f),
            Dim::Symbolic(expression) => expression.fmt(f),
        }
    }
}

/// Name, element type and shape of an input, an output, or a value between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Name in the graph.
    pub name: String,
    /// The element type, or tract's name of it where the outside has none.
    pub dtype: std::result::Result<DType, String>,
    /// The sizes, outermost first.
    pub shape: Vec<Dim>,
}

impl Fact {
    pub(crate) fn new(name: &str, fact: &TypedFact) -> Fact {
        let datum = fact.datum_type;
        Fact {
            name: name.to_string(),
            dtype: DType::of(datum).ok_or_else(|| format!("{datum:?}")),
            shape: fact.shape.iter().map(Dim::from).collect(),
        }
    }

    /// Shape and element type as tract writes them: `B,3,224,224,F32`.
    pub fn spec(&self) -> String {
        let dtype = match &self.dtype {
            Ok(dtype) => format!("{:?}", dtype.datum_type()),
            Err(other) => other.clone(),
        };
        let dims = self.shape.iter().map(ToString::to_string);
        dims.chain([dtype]).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn of_inputs(model: &TypedModel) -> anyhow::Result<Vec<Fact>> {
        let outlets = model.input_outlets()?.iter();
        outlets.map(|&o| Ok(Fact::new(&model.node(o.node).name, model.outlet_fact(o)?))).collect()
    }

    /// The names come from the file: tract keeps one for a value that is several outputs.
    pub(crate) fn of_outputs(model: &TypedModel, names: &[String]) -> anyhow::Result<Vec<Fact>> {
        let outlets = model.output_outlets()?.iter().zip(names);
        outlets.map(|(&o, name)| Ok(Fact::new(name, model.outlet_fact(o)?))).collect()
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.spec())
    }
}
