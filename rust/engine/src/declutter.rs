//! tract's simplification of a graph (0.23.9), without what it gets wrong.

use tract_core::internal::TractResult;
use tract_core::model::{TypedModel, TypedModelPatch};
use tract_core::optim::{Optimizer, OptimizerSession, TypedPass};

/// Simplify a graph.
pub(crate) fn declutter(graph: &mut TypedModel) -> TractResult<()> {
    optimizer().optimize(graph)
}

/// Simplify a graph that goes on to be run. Nothing but streaming asks which parts of a tensor are
/// of interest, and where they depend on symbols, telling that can take minutes.
pub(crate) fn declutter_to_run(graph: &mut TypedModel) -> TractResult<()> {
    let mut optimizer = optimizer();
    optimizer.passes.retain(|pass| !is(&**pass, "PropagateRoi"));
    optimizer.optimize(graph)
}

fn optimizer() -> Optimizer {
    let mut optimizer = Optimizer::declutter();
    for pass in &mut optimizer.passes {
        if is(&**pass, "FoldUniformMask") {
            *pass = Box::new(OfTheSameShape(pass.clone()));
        }
    }
    optimizer
}

/// Whether a pass is the one of this name, which tract does not give out.
fn is(pass: &dyn TypedPass, name: &str) -> bool {
    format!("{pass:?}").starts_with(name)
}

/// A pass, but for those of its patches that give a wire another shape. Where all values of a mask
/// are alike, tract puts one value in its place, also where the result has its axes from the mask
/// alone: a scalar times a mask of `[B]` became a scalar.
#[derive(Clone, Debug)]
struct OfTheSameShape(Box<dyn TypedPass>);

impl TypedPass for OfTheSameShape {
    fn reset(&mut self) -> TractResult<()> {
        self.0.reset()
    }

    fn next(
        &mut self,
        session: &mut OptimizerSession,
        model: &TypedModel,
    ) -> TractResult<Option<TypedModelPatch>> {
        while let Some(patch) = self.0.next(session, model)? {
            if keeps_shapes(&patch, model)? {
                return Ok(Some(patch));
            }
        }
        Ok(None)
    }

    fn run_direct(&mut self, model: &mut TypedModel) -> TractResult<bool> {
        self.0.run_direct(model)
    }
}

fn keeps_shapes(patch: &TypedModelPatch, model: &TypedModel) -> TractResult<bool> {
    for (&old, &new) in &patch.shunts {
        if model.outlet_fact(old)?.shape != patch.model.outlet_fact(new)?.shape {
            return Ok(false);
        }
    }
    Ok(true)
}
