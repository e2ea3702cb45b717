//! A causal language model whose keys and values stay inside of tract from one call to the next.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use tract_core::internal::{OpState, TurnState, TypedSimpleState};
use tract_core::prelude::{
    IntoTValue, IntoTensor, Symbol, SymbolValues, Tensor, TypedModel, TypedOp, tvec,
};
use tract_core::transform::get_transform;
use tract_transformers::figure_out_causal_llm_b_s_p;
use tract_transformers::ops::DynKeyValueCache;

use crate::attention::CachedAttention;
use crate::declutter::declutter;
use crate::guard::guarded;
use crate::tensor::to_plain;
use crate::{CompileOptions, Fact, Model, Result, Runnable, Stage};

const NO_LANGUAGE_MODEL: &str = "no causal language model, whose inputs are token ids, [1, S], and \
     caches, [1, heads, P, features]";

/// A length that no text has: a model that may have read so many has no bound.
const UNBOUNDED: usize = 1 << 30;

/// A language model optimised for this processor, for any number of sessions.
#[derive(Debug)]
pub struct CausalRunnable {
    runnable: Runnable,
    past: Symbol,
}

/// The keys and values of the tokens that a language model has read.
#[derive(Clone, Debug)]
pub struct Session {
    runnable: Arc<CausalRunnable>,
    state: TypedSimpleState,
    length: usize,
}

impl Model {
    /// Optimises a model of tokens and caches, by tract's own transforms for transformers: it keeps
    /// the caches inside, and fuses what they are for.
    ///
    /// # Errors
    /// With [`Stage::Compile`], when an input beside the tokens is no cache that only grows, or
    /// tract can't optimise the model.
    pub fn compile_causal(&self, options: CompileOptions) -> Result<CausalRunnable> {
        let (model, past) = guarded(Stage::Compile, || {
            let (_, _, past) =
                figure_out_causal_llm_b_s_p(&self.graph).context(NO_LANGUAGE_MODEL)?;
            let past = past.context("no cache").context(NO_LANGUAGE_MODEL)?;
            let mut graph = TypedModel::clone(&self.graph);
            declutter(&mut graph)?;
            let detect =
                get_transform("transformers_detect_all")?.context("tract has no such transform")?;
            detect.transform(&mut graph)?;
            declutter(&mut graph)?;
            let facts = Fact::of_inputs(&graph)?;
            ensure!(
                facts.len() == 1,
                "inputs that are no caches that tract can keep: {}",
                facts[1..].iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            );
            let outputs: Vec<String> = self.outputs().iter().map(|f| f.name.clone()).collect();
            Ok((Model::new(graph, &outputs[..1])?, past))
        })?;
        Ok(CausalRunnable { runnable: model.compile(options)?, past })
    }
}

impl CausalRunnable {
    /// The compiled network, whose only input is the tokens.
    pub fn runnable(&self) -> &Runnable {
        &self.runnable
    }

    /// A session that has read nothing.
    ///
    /// # Errors
    /// When tract can't make a state.
    pub fn session(self: &Arc<Self>) -> Result<Session> {
        let state = guarded(Stage::Run, || self.runnable.plan.spawn())?;
        Ok(Session { runnable: Arc::clone(self), state, length: 0 })
    }

    /// How many tokens a text may have, by the model's assertions; None where they don't say.
    ///
    /// # Errors
    /// When tract can't evaluate one.
    pub fn max_length(&self) -> Result<Option<usize>> {
        guarded(Stage::Symbol, || {
            let one = Tensor::zero::<i64>(&[1, 1])?;
            let fits = |length: usize| self.check(&one, length - 1).is_ok();
            let (mut allowed, mut beyond) = (0, UNBOUNDED);
            if fits(beyond) {
                return Ok(None);
            }
            while beyond - allowed > 1 {
                let middle = allowed.midpoint(beyond);
                *(if fits(middle) { &mut allowed } else { &mut beyond }) = middle;
            }
            Ok(Some(allowed))
        })
    }

    /// The symbols' values where so many tokens were read before these.
    fn check(&self, tokens: &Tensor, past: usize) -> anyhow::Result<SymbolValues> {
        let signature = &self.runnable.signature;
        let mut symbols = signature.bind(std::slice::from_ref(tokens))?;
        symbols.set(&self.past, i64::try_from(past)?);
        signature.check_values(&symbols)?;
        Ok(symbols)
    }
}

impl Session {
    /// How many tokens it has read.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Reads more tokens, `[1, S]`, and gives the scores of those that may follow.
    ///
    /// # Errors
    /// With [`Stage::Run`], when tract fails; with [`Stage::Symbol`], when an assertion forbids a
    /// text as long as this gets. The session is then as it was.
    pub fn push(&mut self, tokens: Tensor) -> Result<Tensor> {
        let runnable = Arc::clone(&self.runnable);
        let (read, before) = (tokens.len(), self.length);
        let outcome = runnable.runnable.workers.compute(|| {
            guarded(Stage::Run, || {
                let symbols = runnable.check(&tokens, before)?;
                // tract keeps the scenario of the turn before.
                self.state.turn_state.scenario = None;
                let outputs = self.state.run(tvec!(tokens.into_tvalue()))?;
                let scores = outputs.into_iter().next().context("no output")?;
                to_plain(scores.into_tensor(), &symbols)
            })
        });
        match outcome {
            Ok(_) => self.length += read,
            Err(_) => self.truncate(before)?,
        }
        outcome
    }

    /// Forgets all tokens after the first `length`.
    ///
    /// # Errors
    /// With [`Stage::Run`], when it has not read so many.
    pub fn truncate(&mut self, length: usize) -> Result<()> {
        guarded(Stage::Run, || {
            ensure!(length <= self.length, "{length} tokens: {} were read", self.length);
            if length == 0 {
                self.state = self.runnable.runnable.plan.spawn()?;
            } else {
                let plan = Arc::clone(&self.runnable.runnable.plan);
                for (node, state) in plan.model().nodes.iter().zip(&mut self.state.op_states) {
                    if let Some(state) = state
                        && state.has_init_tensor_fact()
                    {
                        truncate_cache(node.op.as_ref(), state.as_mut(), length)?;
                    }
                }
                // A copy that has not run has no values, which tract would index.
                if !self.state.turn_state.values.is_empty() {
                    self.state.reset_turn()?;
                }
            }
            self.length = length;
            Ok(())
        })
    }
}

/// Cuts the tensors of a cache to their first `length` tokens.
fn truncate_cache(op: &dyn TypedOp, state: &mut dyn OpState, length: usize) -> anyhow::Result<()> {
    let axis = if let Some(cache) = op.downcast_ref::<DynKeyValueCache>() {
        cache.axis
    } else if let Some(attention) = op.downcast_ref::<CachedAttention>() {
        attention.axis()
    } else {
        bail!("{}: a cache that can't be cut", op.name());
    };
    let mut saved = vec![];
    state.save_to(&mut saved)?;
    let kept: Vec<_> = saved
        .into_iter()
        .map(|cache| Ok(cache.slice(axis, 0, length)?.into_tvalue()))
        .collect::<anyhow::Result<_>>()?;
    // It resolves symbols, which the next turn does anew.
    state.load_from(&mut TurnState::default(), &mut kept.into_iter())
}
