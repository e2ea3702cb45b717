//! Where the time of a run goes, measured by tract's own profiler.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use tract_core::ops::Cost;
use tract_core::prelude::{IntoTValue, TVec, Tensor, TypedFact};
use tract_libcli::annotations::{Annotations, NodeTags};
use tract_libcli::profile::{BenchLimits, extract_costs};
use tract_libcli::tensor::{RunTensors, TensorValues, tensor_for_fact};

use crate::guard::guarded;
use crate::{Error, Result, Runnable, Stage};

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct ProfileLimits {
    /// Runs before the measured ones.
    pub warmup: usize,
    /// The largest number of measured runs.
    pub iterations: usize,
    /// The time after which no further run is started.
    pub time: Duration,
}

/// Mean times per run.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The nodes of the compiled network that took time, in the order of their execution.
    pub nodes: Vec<NodeProfile>,
    /// Time of a whole run.
    pub entire: Duration,
    /// How many runs were measured.
    pub iterations: usize,
}

/// One node's share.
#[derive(Clone, Debug)]
pub struct NodeProfile {
    /// Its name; it begins with that of the node in the file it was made from.
    pub name: String,
    /// The operator's name.
    pub op: String,
    /// Mean time per run.
    pub time: Duration,
    /// Floating-point operations per run, where tract knows them: a multiply-add counts as two.
    pub flops: Option<u64>,
}

impl Runnable {
    /// Measures each node of the compiled network.
    ///
    /// # Errors
    /// As [`Runnable::run`]; with [`Stage::Symbol`] when no inputs are given and symbols are free.
    pub fn profile(&self, inputs: Option<Vec<Tensor>>, limits: ProfileLimits) -> Result<Profile> {
        let inputs = inputs.map_or_else(|| self.random_inputs(), Ok)?;
        let work = || {
            let symbols = self.signature.check(&inputs)?;
            let inputs: TVec<_> = inputs.into_iter().map(IntoTValue::into_tvalue).collect();
            let graph = self.plan.model();
            let computes = !self.plan.order_without_consts().is_empty();
            ensure!(computes, "the compiled network has nothing to compute");
            let mut annotations = Annotations::from_model(graph)?;
            tract_libcli::profile::profile(
                &(Arc::new(Arc::clone(&self.plan)) as Arc<_>),
                &BenchLimits {
                    warmup_loops: limits.warmup,
                    max_loops: limits.iterations,
                    max_time: limits.time,
                    ..BenchLimits::default()
                },
                &mut annotations,
                &RunTensors { sources: vec![inputs], streaming_input_len: None },
                None,
                true,
            )?;
            extract_costs(&mut annotations, graph, &symbols)?;
            Ok(self.summarise(&annotations))
        };
        self.workers.compute(|| guarded(Stage::Run, work))
    }

    /// Random inputs: uniform in 0..1, integers and booleans 0 or 1.
    fn random_inputs(&self) -> Result<Vec<Tensor>> {
        let graph = self.plan.model();
        (graph.inputs.iter())
            .map(|&outlet| random(graph.outlet_fact(outlet)?))
            .collect::<anyhow::Result<_>>()
            .map_err(|e| {
                let advice = "set its symbols, as in set(B=3), or pass inputs";
                Error::new(Stage::Symbol, format!("no inputs to profile with: {e}: {advice}"))
            })
    }

    fn summarise(&self, annotations: &Annotations) -> Profile {
        let summary = annotations.profile_summary.as_ref();
        let flops = flops(annotations);
        let node = |&id: &usize| {
            let tags: &NodeTags = annotations.tags.get(&id.into())?;
            let node = self.plan.model().node(id);
            Some(NodeProfile {
                name: node.name.clone(),
                op: node.op.name().into_owned(),
                time: tags.profile?,
                flops: flops.get(&id).copied().flatten(),
            })
        };
        Profile {
            nodes: self.plan.order_without_consts().iter().filter_map(node).collect(),
            entire: summary.map_or(Duration::ZERO, |s| s.entire),
            iterations: summary.map_or(0, |s| s.iters),
        }
    }
}

fn random(fact: &TypedFact) -> anyhow::Result<Tensor> {
    let whole = !fact.datum_type.is_float();
    let range = TensorValues { random_range: Some(0.0..2.0), ..TensorValues::default() };
    tensor_for_fact(fact, None, whole.then_some(&range))
}

/// Operations per node of the graph, those of a loop's body counted with the loop; none where
/// they depend on a symbol.
fn flops(annotations: &Annotations) -> HashMap<usize, Option<u64>> {
    let mut sums: HashMap<usize, Option<u64>> = HashMap::new();
    for (id, tags) in &annotations.tags {
        let node = id.0.first().map_or(id.1, |(outer, _)| *outer);
        for (cost, count) in &tags.cost {
            let per_count = match cost {
                Cost::FMA(_) => 2,
                Cost::Div(_) => 1,
                _ => continue,
            };
            let count = count.as_i64().and_then(|n| u64::try_from(n).ok());
            let sum = sums.entry(node).or_insert(Some(0));
            *sum = sum.zip(count).map(|(sum, n)| sum + n * per_count);
        }
    }
    sums
}
