//! A causal language model whose keys and values stay inside of tract from one call to the next.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use tract_core::internal::{OpState, TurnState, TypedSimpleState};
use tract_core::prelude::{
    IntoTValue, IntoTensor, Symbol, SymbolValues, TValue, TVec, Tensor, TypedModel, TypedOp,
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
const UNBOUNDED: i64 = 1 << 30;

/// A language model optimised for this processor, for any number of sessions.
///
/// Its first input is the tokens. Others, which it may have, are its context: what it was told
/// before the first token, such as what an encoder made of another text.
#[derive(Debug)]
pub struct CausalRunnable {
    runnable: Runnable,
    past: Symbol,
    new: Symbol,
}

/// The keys and values of the tokens that a language model has read.
#[derive(Clone, Debug)]
pub struct Session {
    runnable: Arc<CausalRunnable>,
    /// Shared by all that read after it.
    context: Vec<Arc<Tensor>>,
    state: TypedSimpleState,
    length: usize,
}

impl Model {
    /// Optimises a model of tokens and caches, by tract's own transforms for transformers: it keeps
    /// the caches inside, and fuses what they are for.
    ///
    /// # Errors
    /// With [`Stage::Compile`], when a cache is none that only grows, or tract can't optimise the
    /// model.
    pub fn compile_causal(&self, options: CompileOptions) -> Result<CausalRunnable> {
        let (model, past, new) = guarded(Stage::Compile, || {
            let (_, new, past) =
                figure_out_causal_llm_b_s_p(&self.graph).context(NO_LANGUAGE_MODEL)?;
            let past = past.context("no cache").context(NO_LANGUAGE_MODEL)?;
            let new = new.context("no free number of tokens").context(NO_LANGUAGE_MODEL)?;
            let mut graph = TypedModel::clone(&self.graph);
            // First of all: a slice of what a cache becomes would be taken of its two parts.
            for name in ["detect_kv_cache", "transformers_detect_all"] {
                let detect = get_transform(name)?.context("tract has no such transform")?;
                detect.transform(&mut graph)?;
                declutter(&mut graph)?;
            }
            check_inputs(&graph, &past, &new)?;
            let outputs: Vec<String> = self.outputs().iter().map(|f| f.name.clone()).collect();
            Ok((Model::new(graph, &outputs[..1])?, past, new))
        })?;
        Ok(CausalRunnable { runnable: model.compile(options)?, past, new })
    }
}

/// Refuses inputs beside the tokens that change while a text is read.
fn check_inputs(graph: &TypedModel, past: &Symbol, new: &Symbol) -> anyhow::Result<()> {
    let mut changing = vec![];
    for (i, fact) in Fact::of_inputs(graph)?.into_iter().enumerate().skip(1) {
        let symbols = graph.input_fact(i)?.shape.volume().symbols();
        if symbols.contains(past) || symbols.contains(new) {
            changing.push(fact.to_string());
        }
    }
    ensure!(
        changing.is_empty(),
        "inputs that are no caches that tract can keep: {}",
        changing.join("; ")
    );
    Ok(())
}

impl CausalRunnable {
    /// The compiled network, whose inputs are the tokens and the context.
    pub fn runnable(&self) -> &Runnable {
        &self.runnable
    }

    /// A session that has read nothing, in a context.
    ///
    /// # Errors
    /// With [`Stage::Run`], when the context's number, types or sizes are not the model's, or tract
    /// can't make a state; with [`Stage::Symbol`], when an assertion forbids its sizes.
    pub fn session(self: &Arc<Self>, context: Vec<Tensor>) -> Result<Session> {
        let context: Vec<_> = context.into_iter().map(Arc::new).collect();
        let state = guarded(Stage::Run, || {
            let token = Tensor::zero::<i64>(&[1, 1])?;
            self.check(&inputs(token, &context), 0)?;
            self.runnable.plan.spawn()
        })?;
        Ok(Session { runnable: Arc::clone(self), context, state, length: 0 })
    }

    /// How many tokens a text may have, by the model's assertions; None where they don't say.
    ///
    /// # Errors
    /// When tract can't evaluate one.
    pub fn max_length(&self) -> Result<Option<usize>> {
        guarded(Stage::Symbol, || {
            let signature = &self.runnable.signature;
            let fits = |length: i64| {
                let values = SymbolValues::default().with(&self.new, 1);
                signature.check_values(&values.with(&self.past, length - 1)).is_ok()
            };
            let (mut allowed, mut beyond) = (0, UNBOUNDED);
            if fits(beyond) {
                return Ok(None);
            }
            while beyond - allowed > 1 {
                let middle = allowed.midpoint(beyond);
                *(if fits(middle) { &mut allowed } else { &mut beyond }) = middle;
            }
            Ok(Some(usize::try_from(allowed)?))
        })
    }

    /// The symbols' values where so many tokens were read before these.
    fn check(&self, inputs: &[TValue], past: usize) -> anyhow::Result<SymbolValues> {
        let signature = &self.runnable.signature;
        let mut symbols = signature.bind(inputs)?;
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
                let inputs = inputs(tokens, &self.context);
                let symbols = runnable.check(&inputs, before)?;
                // tract keeps the scenario of the turn before.
                self.state.turn_state.scenario = None;
                let outputs = self.state.run(inputs)?;
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

/// What tract is given for tokens and a context.
fn inputs(tokens: Tensor, context: &[Arc<Tensor>]) -> TVec<TValue> {
    let context = context.iter().cloned().map(IntoTValue::into_tvalue);
    std::iter::once(tokens.into_tvalue()).chain(context).collect()
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
