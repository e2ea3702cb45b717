//! A loaded model: what it takes and gives, its symbols, and the way to fix their values.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail, ensure};
use tract_core::prelude::{Assertion, Symbol, SymbolValues, TDim, TypedModel};

use crate::graph::{Node, Property, nodes, properties};
use crate::guard::guarded;
use crate::symbol::{
    SymbolValue, all_assertions, assertions, check_assertions, free_symbols, numbers, told,
};
use crate::{Fact, Result, Stage};

/// A model as it stands in its file, symbols set apart. Immutable and cheap to clone.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) graph: Arc<TypedModel>,
    /// Name and value of every symbol that was set.
    set: Vec<(String, SymbolValue)>,
    inputs: Vec<Fact>,
    outputs: Vec<Fact>,
    symbols: Vec<String>,
    pub(crate) assertions: Vec<Assertion>,
}

impl Model {
    pub(crate) fn new(graph: TypedModel, outputs: &[String]) -> anyhow::Result<Model> {
        Ok(Model {
            inputs: Fact::of_inputs(&graph)?,
            outputs: Fact::of_outputs(&graph, outputs)?,
            symbols: free_symbols(&graph).iter().map(ToString::to_string).collect(),
            assertions: all_assertions(&graph)?,
            set: vec![],
            graph: Arc::new(graph),
        })
    }

    /// The inputs' facts, in order.
    pub fn inputs(&self) -> &[Fact] {
        &self.inputs
    }

    /// The outputs' facts, in order.
    pub fn outputs(&self) -> &[Fact] {
        &self.outputs
    }

    /// The symbols that have no value, in the order of their declaration.
    pub fn symbols(&self) -> &[String] {
        &self.symbols
    }

    /// What the file asserts of its free symbols, in tract's words.
    pub fn assertions(&self) -> Vec<String> {
        assertions(&self.graph.symbols, &self.assertions, &self.symbols)
    }

    /// The file's properties, by name.
    ///
    /// # Errors
    /// When one has a type that the outside does not know.
    pub fn properties(&self) -> Result<Vec<(String, Property)>> {
        guarded(Stage::Load, || properties(&self.graph))
    }

    /// The nodes, in an order in which they can be computed.
    ///
    /// # Errors
    /// When the graph has a cycle.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        guarded(Stage::Run, || nodes(&self.graph))
    }

    /// The same model with values for some of its symbols.
    ///
    /// # Errors
    /// With [`Stage::Symbol`], when a symbol is unknown or set already, when an assertion forbids
    /// a value, when an input would get a negative size.
    pub fn set(&self, values: &[(String, SymbolValue)]) -> Result<Model> {
        guarded(Stage::Symbol, || {
            let substitutions = self.substitutions(values)?;
            let set: Vec<_> = self.set.iter().chain(values).cloned().collect();
            self.check_values(&numbers(&self.graph.symbols, &set))?;
            let outputs: Vec<_> = self.outputs.iter().map(|fact| fact.name.clone()).collect();
            let model = Model::new(self.graph.set_symbols(&substitutions)?, &outputs)?;
            Ok(Model { set, ..model })
        })
    }

    pub(crate) fn substitutions(
        &self,
        values: &[(String, SymbolValue)],
    ) -> anyhow::Result<HashMap<Symbol, TDim>> {
        let values = values.iter();
        values
            .map(|(name, value)| Ok((self.free_symbol(name)?, self.parse(name, value)?)))
            .collect()
    }

    pub(crate) fn free_symbol(&self, name: &str) -> anyhow::Result<Symbol> {
        if self.symbols.iter().any(|s| s == name) {
            return self.graph.symbols.get(name).context("a free symbol is in the scope");
        }
        if let Some((_, value)) = self.set.iter().find(|(s, _)| s == name) {
            bail!("symbol {name} is already set, to {value}: set it on the model as it was loaded");
        }
        match &self.symbols[..] {
            [] => bail!("no symbol is called {name}: the model has none that is free"),
            known => bail!("no symbol is called {name}: there is {}", known.join(", ")),
        }
    }

    fn parse(&self, name: &str, value: &SymbolValue) -> anyhow::Result<TDim> {
        let text = match value {
            SymbolValue::Size(size) => return Ok(TDim::Val(*size)),
            SymbolValue::Expression(text) => text,
        };
        self.graph
            .symbols
            .parse_tdim(text)
            .map_err(|_| anyhow!("{name}={text}: tract can't read this as an expression"))
    }

    /// Refuses values that break an assertion of the file or make an input's size negative.
    fn check_values(&self, values: &SymbolValues) -> anyhow::Result<()> {
        check_assertions(&self.graph.symbols, &self.assertions, values)?;
        for (i, fact) in self.inputs.iter().enumerate() {
            for dim in self.graph.input_fact(i)?.shape.iter() {
                let size = dim.eval(values);
                ensure!(
                    size.as_i64().is_none_or(|size| size >= 0),
                    "{} is not allowed: {dim} in input {fact} would be {size}",
                    told(values)
                );
            }
        }
        Ok(())
    }
}
