//! Operators of a pulsed graph that are the batch model's own.

use tract_core::internal::{
    EvalOp, Op, StaticName, TDim, TValue, TVec, TractResult, as_op, not_a_typed_op, not_out_of_plan,
};
use tract_core::model::{TypedFact, TypedNode, TypedOp};
use tract_core::ops::scan::Scan;
use tract_core::prelude::Symbol;
use tract_pulse::fact::StreamInfo;
use tract_pulse::internal::{PulsedFact, PulsedOp};

use super::rules;
use super::translate::delay;

/// An operator that treats each frame by itself, applied to a pulse of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PerFrame {
    pub op: Box<dyn TypedOp>,
    /// Of each output: the axis of the stream, and its length in the batch model.
    pub streams: Vec<Option<(usize, TDim)>>,
}

impl PerFrame {
    pub fn new(node: &TypedNode, symbol: &Symbol) -> PerFrame {
        let streams = node.outputs.iter().map(|output| {
            let axis = rules::axis_of(&output.fact, symbol)?;
            Some((axis, output.fact.shape[axis].clone()))
        });
        PerFrame { op: node.op.clone(), streams: streams.collect() }
    }
}

/// An operator whose result streams along one axis, for all that its inputs say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Across {
    pub op: Box<dyn TypedOp>,
    /// The axis of the stream, and its length in the batch model.
    pub stream: Option<(usize, TDim)>,
    pub delay: usize,
}

/// An operator that has nothing to do with the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fixed(pub Box<dyn TypedOp>);

impl Fixed {
    pub fn new(node: &TypedNode) -> Fixed {
        let mut op = node.op.clone();
        if let Some(scan) = op.as_op_mut().downcast_mut::<Scan>() {
            // Each pulse computes it again, from its first state.
            scan.reset_every_turn = true;
        }
        Fixed(op)
    }
}

impl Op for PerFrame {
    fn name(&self) -> StaticName {
        self.op.name()
    }

    not_a_typed_op!();
}

impl EvalOp for PerFrame {
    not_out_of_plan!();
}

impl Op for Across {
    fn name(&self) -> StaticName {
        self.op.name()
    }

    not_a_typed_op!();
}

impl EvalOp for Across {
    not_out_of_plan!();
}

impl Op for Fixed {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    not_a_typed_op!();
}

impl EvalOp for Fixed {
    not_out_of_plan!();
}

impl PulsedOp for PerFrame {
    fn pulsed_output_facts(&self, inputs: &[&PulsedFact]) -> TractResult<TVec<PulsedFact>> {
        let delay = inputs.iter().map(|fact| delay(fact)).max().unwrap_or(0);
        let facts = typed_outputs(&*self.op, inputs)?.into_iter().zip(&self.streams);
        facts
            .map(|(fact, stream)| {
                let stream = stream.clone();
                Ok(PulsedFact {
                    datum_type: fact.datum_type,
                    shape: fact.shape,
                    stream: stream.map(|(axis, dim)| StreamInfo { axis, dim, delay }),
                })
            })
            .collect()
    }

    fn to_typed(&self) -> Box<dyn TypedOp> {
        self.op.clone()
    }

    as_op!();
}

impl PulsedOp for Across {
    fn pulsed_output_facts(&self, inputs: &[&PulsedFact]) -> TractResult<TVec<PulsedFact>> {
        let facts = typed_outputs(&*self.op, inputs)?.into_iter();
        let streams = |fact: TypedFact| PulsedFact {
            datum_type: fact.datum_type,
            shape: fact.shape,
            stream: self.stream.clone().map(|(axis, dim)| StreamInfo {
                axis,
                dim,
                delay: self.delay,
            }),
        };
        Ok(facts.map(streams).collect())
    }

    fn to_typed(&self) -> Box<dyn TypedOp> {
        self.op.clone()
    }

    as_op!();
}

impl PulsedOp for Fixed {
    fn pulsed_output_facts(&self, inputs: &[&PulsedFact]) -> TractResult<TVec<PulsedFact>> {
        let facts = typed_outputs(&*self.0, inputs)?.into_iter();
        let fixed = |fact: TypedFact| PulsedFact {
            datum_type: fact.datum_type,
            shape: fact.shape,
            stream: None,
        };
        Ok(facts.map(fixed).collect())
    }

    fn to_typed(&self) -> Box<dyn TypedOp> {
        self.0.clone()
    }

    as_op!();
}

fn typed_outputs(op: &dyn TypedOp, inputs: &[&PulsedFact]) -> TractResult<TVec<TypedFact>> {
    let facts: TVec<TypedFact> = inputs.iter().map(|fact| (*fact).into()).collect();
    op.output_facts(&facts.iter().collect::<TVec<_>>())
}
