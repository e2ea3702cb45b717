//! A loaded model: what it takes and gives, its symbols, and the way to fix their values.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail, ensure};
use tract_core::prelude::{
    Assertion, DatumType, Symbol, SymbolScope, SymbolValues, TDim, Tensor, TypedModel,
};

use crate::guard::guarded;
use crate::tensor::to_plain;
use crate::{Error, Fact, Result, Stage};

/// A model as it stands in its file, symbols set apart. Immutable and cheap to clone.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) graph: Arc<TypedModel>,
    /// Name and value of every symbol that was set.
    set: Vec<(String, SymbolValue)>,
    inputs: Vec<Fact>,
    outputs: Vec<Fact>,
    symbols: Vec<String>,
}

/// A value for a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SymbolValue {
    /// A number.
    Size(i64),
    /// An expression over other symbols.
    Expression(String),
}

impl std::fmt::Display for SymbolValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SymbolValue::Size(size) => size.fmt(f),
            SymbolValue::Expression(text) => text.fmt(f),
        }
    }
}

/// A node of a graph, for a person to read.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name in the graph.
    pub name: String,
    /// The operator's name.
    pub op: String,
    /// Names of the nodes it reads.
    pub inputs: Vec<String>,
    /// What it gives.
    pub outputs: Vec<Fact>,
}

/// What a file says of itself under some name.
#[derive(Clone, Debug)]
pub enum Property {
    /// Text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// A number or several.
    Numbers(Tensor),
}

impl Property {
    fn new(value: &Tensor) -> anyhow::Result<Property> {
        if value.datum_type() != DatumType::String {
            return Ok(Property::Numbers(to_plain(value.clone(), &SymbolValues::default())?));
        }
        let plain = value.try_as_plain_ram()?;
        Ok(match plain.as_slice::<String>()? {
            [text] if value.rank() == 0 => Property::Text(text.clone()),
            texts => Property::Texts(texts.to_vec()),
        })
    }
}

impl Model {
    pub(crate) fn new(graph: TypedModel) -> anyhow::Result<Model> {
        Ok(Model {
            inputs: Fact::of_inputs(&graph)?,
            outputs: Fact::of_outputs(&graph)?,
            symbols: free_symbols(&graph).iter().map(ToString::to_string).collect(),
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
        let scope = &self.graph.symbols;
        let free = |a: &Assertion| {
            let (Assertion::Eq(l, r)
            | Assertion::LT(l, r)
            | Assertion::GT(l, r)
            | Assertion::LTE(l, r)
            | Assertion::GTE(l, r)) = a;
            let mut symbols = l.symbols().into_iter().chain(r.symbols());
            symbols.any(|symbol| self.symbols.contains(&symbol.to_string()))
        };
        let always = scope.all_assertions().into_iter().filter(free).map(|a| a.to_string());
        always.chain(scenarios(scope, free)).collect()
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
            let mut substitutions = HashMap::new();
            for (name, value) in values {
                let symbol = self.free_symbol(name)?;
                substitutions.insert(symbol, self.parse(name, value)?);
            }
            let set: Vec<_> = self.set.iter().chain(values).cloned().collect();
            self.check_values(&numbers(&self.graph.symbols, &set))?;
            let model = Model::new(self.graph.set_symbols(&substitutions)?)?;
            Ok(Model { set, ..model })
        })
    }

    fn free_symbol(&self, name: &str) -> anyhow::Result<Symbol> {
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
        let scope = &self.graph.symbols;
        check_assertions(scope, &scope.all_assertions(), values)?;
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

/// Those of `set` that are numbers.
fn numbers(scope: &SymbolScope, set: &[(String, SymbolValue)]) -> SymbolValues {
    let mut values = SymbolValues::default();
    for (name, value) in set {
        if let (Some(symbol), SymbolValue::Size(size)) = (scope.get(name), value) {
            values.set(&symbol, *size);
        }
    }
    values
}

/// Refuses `values` that break one of `assertions`, or all of the scope's scenarios.
pub(crate) fn check_assertions(
    scope: &SymbolScope,
    assertions: &[Assertion],
    values: &SymbolValues,
) -> anyhow::Result<()> {
    let broken = match assertions.iter().find(|a| a.check(values) == Some(false)) {
        Some(assertion) => assertion.to_string(),
        None if scope.guess_scenario(values).is_err() => {
            format!("one of {}", scenarios(scope, |_| true).join(", "))
        }
        None => return Ok(()),
    };
    let message = format!("{} is not allowed: the model asserts {broken}", told(values));
    bail!(Error::new(Stage::Symbol, message))
}

/// The scenarios' assertions that pass `filter`, such as `tg: S == 1`.
fn scenarios(scope: &SymbolScope, filter: impl Fn(&Assertion) -> bool) -> Vec<String> {
    let named = scope.all_scenarios().into_iter();
    named
        .flat_map(|(name, assertions)| {
            let told = assertions.into_iter().filter(&filter).map(|a| format!("{name}: {a}"));
            told.collect::<Vec<_>>()
        })
        .collect()
}

/// `B=3, S=8`.
fn told(values: &SymbolValues) -> String {
    let mut known: Vec<_> = values.to_dim_map().into_iter().collect();
    known.sort_by_key(|(symbol, _)| symbol.clone());
    known.iter().map(|(symbol, value)| format!("{symbol}={value}")).collect::<Vec<_>>().join(", ")
}

/// The symbols that a shape anywhere in `graph` depends on, in the order of their declaration.
pub(crate) fn free_symbols(graph: &TypedModel) -> Vec<Symbol> {
    let facts = graph.nodes.iter().flat_map(|n| &n.outputs).map(|o| &o.fact);
    let used: HashSet<Symbol> =
        facts.flat_map(|f| f.shape.iter()).flat_map(TDim::symbols).collect();
    graph.symbols.all_symbols().into_iter().filter(|s| used.contains(s)).collect()
}

/// The properties of `graph`, in the order of their names.
pub(crate) fn properties(graph: &TypedModel) -> anyhow::Result<Vec<(String, Property)>> {
    let mut named: Vec<_> = graph.properties.iter().collect();
    named.sort_by_key(|(name, _)| *name);
    named.into_iter().map(|(name, value)| Ok((name.clone(), Property::new(value)?))).collect()
}

/// The nodes of `graph`, in an order in which they can be computed.
pub(crate) fn nodes(graph: &TypedModel) -> anyhow::Result<Vec<Node>> {
    graph
        .eval_order()?
        .into_iter()
        .map(|id| {
            let node = graph.node(id);
            let name =
                |outlet: usize| graph.outlet_label((id, outlet).into()).unwrap_or(&node.name);
            Ok(Node {
                name: node.name.clone(),
                op: node.op.name().into_owned(),
                inputs: node.inputs.iter().map(|o| graph.node(o.node).name.clone()).collect(),
                outputs: (node.outputs.iter().enumerate())
                    .map(|(slot, o)| Fact::new(name(slot), &o.fact))
                    .collect(),
            })
        })
        .collect()
}
