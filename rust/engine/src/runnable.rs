//! A compiled model, which any number of threads may run at once.

use std::sync::Arc;

use tract_core::prelude::{
    IntoTValue, IntoTensor, RunOptions, TVec, Tensor, TypedModel, TypedSimplePlan,
};

use crate::graph::{Node, Property, nodes, properties};
use crate::guard::guarded;
use crate::input::Signature;
use crate::optimize::optimized;
use crate::tensor::to_plain;
use crate::workers::Workers;
use crate::{Fact, Model, Result, Stage};

/// How to compile.
#[derive(Clone, Copy, Debug)]
pub struct CompileOptions {
    /// How many threads share the work of one matrix product.
    pub threads: usize,
}

/// A model optimised for this processor.
#[derive(Debug)]
pub struct Runnable {
    pub(crate) plan: Arc<TypedSimplePlan>,
    pub(crate) signature: Signature,
    pub(crate) workers: Workers,
    outputs: Vec<Fact>,
}

impl Model {
    /// Optimises the model and plans its execution. Symbols that are free stay so: each run binds
    /// them to the sizes of its inputs.
    ///
    /// # Errors
    /// With [`Stage::Compile`], when tract can't optimise it or can't start the threads.
    pub fn compile(&self, options: CompileOptions) -> Result<Runnable> {
        guarded(Stage::Compile, || {
            let graph = optimized(TypedModel::clone(&self.graph))?;
            let workers = Workers::new(options.threads, &graph)?;
            let run = RunOptions {
                // Always given: else a run would use what an earlier run on its thread left
                // behind when it panicked.
                executor: Some(workers.executor()),
                ..RunOptions::default()
            };
            Ok(Runnable {
                signature: Signature::new(&self.graph)?,
                outputs: self.outputs().to_vec(),
                plan: TypedSimplePlan::new_with_options(graph, &run)?,
                workers,
            })
        })
    }
}

impl Runnable {
    /// The inputs' facts, in order.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = &Fact> {
        self.signature.facts()
    }

    /// The outputs' facts, in order.
    pub fn outputs(&self) -> &[Fact] {
        &self.outputs
    }

    /// The file's properties, by name.
    ///
    /// # Errors
    /// When one has a type that the outside does not know.
    pub fn properties(&self) -> Result<Vec<(String, Property)>> {
        guarded(Stage::Load, || properties(self.plan.model()))
    }

    /// The nodes of the compiled network, in an order in which they can be computed.
    ///
    /// # Errors
    /// When the graph has a cycle.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        guarded(Stage::Run, || nodes(self.plan.model()))
    }

    /// Refuses a number of inputs that is not the model's.
    ///
    /// # Errors
    /// With [`Stage::Run`].
    pub fn check_count(&self, inputs: usize) -> Result<()> {
        guarded(Stage::Run, || self.signature.check_count(inputs))
    }

    /// Computes the outputs for `inputs`, which are in the model's order.
    ///
    /// # Errors
    /// With [`Stage::Run`], when the inputs don't fit the model or tract fails; with
    /// [`Stage::Symbol`], when their sizes break an assertion.
    pub fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let work = || {
            let symbols = self.signature.check(&inputs)?;
            let inputs: TVec<_> = inputs.into_iter().map(IntoTValue::into_tvalue).collect();
            let outputs = self.plan.spawn()?.run(inputs)?;
            outputs.into_iter().map(|value| to_plain(value.into_tensor(), &symbols)).collect()
        };
        self.workers.compute(|| guarded(Stage::Run, work))
    }
}
