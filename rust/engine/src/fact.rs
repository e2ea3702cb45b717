//! What is known of an input or an output: its name, element type and shape.

use std::fmt;

use tract_core::prelude::{TDim, TypedFact, TypedModel};

use crate::tensor::DType;

/// One dimension: a number, or an expression over symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A known size.
    Size(i64),
    /// A size that depends on symbols, such as `B` or `(S+3)/4`.
    Symbolic(String),
}

impl From<&TDim> for Dim {
    fn from(dim: &TDim) -> Dim {
        dim.as_i64().map_or_else(|| Dim::Symbolic(text(dim)), Dim::Size)
    }
}

/// An expression over symbols, in words that tract reads as the same.
///
/// Those that it writes itself can mean another one (0.23.9): `4*(S)/4` is eight where S is nine
/// as it means it, and nine as it reads it.
pub(crate) fn text(dim: &TDim) -> String {
    let all = |parts: &[TDim], each: fn(&TDim) -> String, between| {
        parts.iter().map(each).collect::<Vec<_>>().join(between)
    };
    match dim {
        TDim::Add(terms) => all(terms, text, "+"),
        TDim::Mul(factors) => all(factors, operand, "*"),
        TDim::MulInt(number, factor) => format!("{number}*{}", operand(factor)),
        TDim::Div(dividend, number) => format!("{}/{number}", operand(dividend)),
        TDim::Min(parts) => format!("min({})", all(parts, text, ",")),
        TDim::Max(parts) => format!("max({})", all(parts, text, ",")),
        _ => dim.to_string(),
    }
}

/// An expression as a part of a product or a division.
fn operand(dim: &TDim) -> String {
    match dim {
        TDim::Sym(_) => dim.to_string(),
        _ => format!("({})", text(dim)),
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

#[cfg(test)]
mod tests {
    use tract_core::internal::DimLike;
    use tract_core::prelude::{SymbolScope, SymbolValues};

    use super::*;

    #[test]
    fn an_expression_reads_back_as_itself() {
        let scope = SymbolScope::default();
        let size = TDim::Sym(scope.sym("S"));
        let expressions = [
            ((size.clone() / 4) * 4, "4*(S/4)"),
            ((size.clone() + 3) / 4, "(S+3)/4"),
            ((size.clone() / 2 + 1) * 3 / 4, "(3+3*(S/2))/4"),
            (size.clone() - (size.clone() / 8) * 8, "S+-8*(S/8)"),
            ((size.clone() / 2).mini(size.clone() * 3), "min(3*S,S/2)"),
        ];
        for (expression, expected) in expressions {
            let told = text(&expression);
            let read = scope.parse_tdim(&told).unwrap();
            for n in 0..40 {
                let values = SymbolValues::default().with(&scope.sym("S"), n);
                let numbers = [&expression, &read].map(|e| e.eval(&values).as_i64().unwrap());
                assert_eq!(numbers[0], numbers[1], "{told} at S={n}");
            }
            assert_eq!(told, expected);
        }
    }
}
