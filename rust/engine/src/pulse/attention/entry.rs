//! What is known of single elements, and what operators make of that.

use std::collections::HashMap;

use tract_core::internal::{AxisOp, TVec, TractResult};
use tract_core::model::{TypedFact, TypedNode};
use tract_core::ops::array::MultiBroadcastTo;
use tract_core::ops::einsum::EinSum;
use tract_core::prelude::{DatumType, tensor1};

use super::known::applied;

/// Attention's scores, as data, are not larger than this. Masks in use are well below it.
pub(super) const SCORES: f64 = 4000.0;

/// What is known of an element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Entry {
    Known(f64),
    /// A number and some data of no more than [`SCORES`].
    Around(f64),
    /// True or false.
    Truth,
    Any,
}
use Entry::{Any, Around, Known, Truth};

impl Entry {
    /// A number that it is not below.
    pub fn below(self) -> f64 {
        match self {
            Known(number) => number,
            Truth => 0.0,
            Around(_) | Any => f64::NEG_INFINITY,
        }
    }

    /// A number that it is not above.
    pub fn above(self) -> f64 {
        match self {
            Known(number) => number,
            Truth => 1.0,
            Around(_) | Any => f64::INFINITY,
        }
    }

    /// About how large it is.
    fn size(self) -> Option<f64> {
        match self {
            Known(number) | Around(number) => Some(number),
            Truth | Any => None,
        }
    }

    fn is_small(self) -> bool {
        self.size().is_some_and(|size| size.abs() < SCORES)
    }

    pub fn either(self, other: Entry) -> Entry {
        let is_truth = |entry| matches!(entry, Truth | Known(0.0 | 1.0));
        match (self, other) {
            (a, b) if a == b => a,
            (a, b) if is_truth(a) && is_truth(b) => Truth,
            (a, b) if a.is_small() && b.is_small() => Around(0.0),
            _ => Any,
        }
    }

    /// What is known of elements of this type that come from the stream.
    pub fn of_data(datum_type: DatumType) -> Entry {
        match datum_type {
            DatumType::Bool => Truth,
            _ if datum_type.is_float() => Around(0.0),
            _ => Any,
        }
    }
}

/// The largest score of a query, about. It must be of a frame that every stream has by then.
pub(super) fn largest(scores: &[Entry], query: usize) -> f64 {
    let past = scores[..=query].iter().filter_map(|entry| entry.size());
    past.fold(f64::NEG_INFINITY, f64::max)
}

/// The weights that a softmax makes of a query's scores: none for those far below the largest.
pub(super) fn weights(scores: &[Entry], largest: f64) -> impl Iterator<Item = Entry> {
    let hidden = move |entry: &Entry| {
        let size = entry.size();
        *entry == Known(f64::NEG_INFINITY) || size.is_some_and(|size| size < largest - 2.0 * SCORES)
    };
    scores.iter().map(move |entry| if hidden(entry) { Known(0.0) } else { Around(0.0) })
}

/// What is known of an operator's result for a pair.
pub(super) fn entry(
    node: &TypedNode,
    facts: &[&TypedFact],
    of: &[Entry],
    known: &mut HashMap<Vec<u64>, Entry>,
) -> TractResult<Entry> {
    let output = &node.outputs[0].fact;
    if node.op_is::<EinSum>() {
        let hidden = of.contains(&Known(0.0));
        return Ok(if hidden { Known(0.0) } else { product(of) });
    }
    if node.op_is::<AxisOp>() || node.op_is::<MultiBroadcastTo>() {
        return Ok(of[0]);
    }
    let numbers = of.iter().map(|entry| match entry {
        Known(number) => Some(*number),
        _ => None,
    });
    if let Some(numbers) = numbers.collect::<Option<Vec<f64>>>() {
        let key: Vec<u64> = numbers.iter().map(|number| number.to_bits()).collect();
        if let Some(entry) = known.get(&key) {
            return Ok(*entry);
        }
        let entry = of_numbers(node, facts, &numbers)?;
        known.insert(key, entry);
        return Ok(entry);
    }
    Ok(match (&*node.op.name(), of) {
        ("Iff", [Known(condition), yes, no]) => *if *condition == 0.0 { no } else { yes },
        ("Iff", [_, yes, no]) => yes.either(*no),
        ("Add", [a, b]) => sum(*a, *b, 1.0),
        ("Sub", [a, b]) => sum(*a, *b, -1.0),
        ("Mul" | "And", [Known(0.0), _] | [_, Known(0.0)]) | ("Div", [Known(0.0), Around(_)]) => {
            Known(0.0)
        }
        ("Or", [Known(1.0), _] | [_, Known(1.0)]) => Known(1.0),
        ("Mul", [Around(size), Known(by)] | [Known(by), Around(size)]) if by.is_finite() => {
            Around(size * by)
        }
        ("Div", [Around(size), Known(by)]) if by.is_finite() && *by != 0.0 => Around(size / by),
        ("Cast", [entry @ (Around(_) | Truth)]) if output.datum_type.is_number() => *entry,
        _ if output.datum_type == DatumType::Bool => Truth,
        _ if output.datum_type.is_float() => product(of),
        _ => Any,
    })
}

/// Data, if all of these are, and none of it stands out.
fn product(of: &[Entry]) -> Entry {
    if of.iter().all(|entry| entry.is_small()) { Around(0.0) } else { Any }
}

fn sum(a: Entry, b: Entry, sign: f64) -> Entry {
    let lowest = |entry: Entry, sign: f64| entry == Known(sign * f64::NEG_INFINITY);
    match (a.size(), b.size()) {
        _ if lowest(a, 1.0) || lowest(b, sign) => Known(f64::NEG_INFINITY),
        (Some(a), Some(b)) => Around(a + sign * b),
        _ => Any,
    }
}

/// What an operator makes of single elements.
fn of_numbers(node: &TypedNode, facts: &[&TypedFact], numbers: &[f64]) -> TractResult<Entry> {
    let mut inputs = TVec::new();
    for (number, fact) in numbers.iter().zip(facts) {
        let shape = vec![1; fact.rank()];
        let tensor = tensor1(&[*number]).cast_to_dt(fact.datum_type)?.into_owned();
        inputs.push(tensor.into_shape(&shape)?.into());
    }
    Ok(match applied(node, inputs)? {
        Some(value) => Known(value.cast_to::<f64>()?.try_as_plain_ram()?.as_slice::<f64>()?[0]),
        None => Any,
    })
}
