//! Symbols: their values, and what a model asserts of them.

use std::collections::HashSet;
use std::fmt;

use anyhow::bail;
use tract_core::prelude::{Assertion, Symbol, SymbolScope, SymbolValues, TDim, TypedModel};

use crate::{Error, Stage};

/// A value for a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SymbolValue {
    /// A number.
    Size(i64),
    /// An expression over other symbols.
    Expression(String),
}

impl fmt::Display for SymbolValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SymbolValue::Size(size) => size.fmt(f),
            SymbolValue::Expression(text) => text.fmt(f),
        }
    }
}

/// The numbers that `set` gives to symbols, by itself or through expressions.
pub(crate) fn numbers(scope: &SymbolScope, set: &[(String, SymbolValue)]) -> SymbolValues {
    let mut values = SymbolValues::default();
    let symbols = || set.iter().filter_map(|(name, value)| Some((scope.get(name)?, value)));
    for (symbol, value) in symbols() {
        if let SymbolValue::Size(size) = value {
            values.set(&symbol, *size);
        }
    }
    for (symbol, value) in symbols() {
        if let SymbolValue::Expression(text) = value
            && let Some(size) = scope.parse_tdim(text).ok().and_then(|e| e.eval(&values).as_i64())
        {
            values.set(&symbol, size);
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
pub(crate) fn told(values: &SymbolValues) -> String {
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

/// What `scope` asserts of any of `symbols`.
pub(crate) fn assertions(scope: &SymbolScope, symbols: &[String]) -> Vec<String> {
    let concerned = |a: &Assertion| {
        let (Assertion::Eq(l, r)
        | Assertion::LT(l, r)
        | Assertion::GT(l, r)
        | Assertion::LTE(l, r)
        | Assertion::GTE(l, r)) = a;
        let mut involved = l.symbols().into_iter().chain(r.symbols());
        involved.any(|symbol| symbols.contains(&symbol.to_string()))
    };
    let always = scope.all_assertions().into_iter().filter(concerned).map(|a| a.to_string());
    always.chain(scenarios(scope, concerned)).collect()
}
