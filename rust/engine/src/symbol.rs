//! Symbols: their values, and what a model asserts of them.

use std::collections::HashSet;
use std::fmt;

use anyhow::{Context, bail};
use tract_core::prelude::{Assertion, Symbol, SymbolScope, SymbolValues, TDim, TypedModel};

use crate::graph::{Property, property};
use crate::{Error, Stage};

/// The property with the equations, separated by semicolons: `2 * (S / 2) == S`.
const MULTIPLES: &str = "torchtract.multiples";

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

/// What holds of a model's symbols: what the file asserts, and equations of a property of ours.
///
/// The latter say that a size is a multiple of a number. As assertions they would let tract's
/// optimiser run without end (0.23.9).
pub(crate) fn all_assertions(graph: &TypedModel) -> anyhow::Result<Vec<Assertion>> {
    let scope = &graph.symbols;
    let mut all = scope.all_assertions();
    if let Some(Property::Text(equations)) = property(graph, MULTIPLES)? {
        for equation in equations.split(';') {
            let (multiple, size) =
                equation.split_once("==").context("an equation has two sides")?;
            all.push(Assertion::Eq(
                scope.parse_tdim(multiple.trim())?,
                scope.parse_tdim(size.trim())?,
            ));
        }
    }
    Ok(all)
}

/// Refuses an assertion, as it stands in a file, by which a symbol equals an expression over
/// itself: tract replaces the one by the other without end (0.23.9).
pub(crate) fn check_definition(assertion: &str) -> anyhow::Result<()> {
    let (_, statement) = assertion.split_once(':').unwrap_or(("", assertion));
    if let Some((symbol, expression)) = statement.split_once("==") {
        let mut words = expression.split(|c: char| !c.is_alphanumeric() && c != '_');
        if words.any(|word| word == symbol.trim()) {
            bail!(
                "tract_assert {assertion}: {} is said to be what depends on it; \
                 write the assertion the other way around",
                symbol.trim()
            );
        }
    }
    Ok(())
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

/// Which of the assertions `all` and of the scenarios are about any of `symbols`.
pub(crate) fn assertions(
    scope: &SymbolScope,
    all: &[Assertion],
    symbols: &[String],
) -> Vec<String> {
    let concerned =
        |a: &Assertion| symbols_of(a).iter().any(|symbol| symbols.contains(&symbol.to_string()));
    let always = all.iter().filter(|a| concerned(a)).map(ToString::to_string);
    always.chain(scenarios(scope, concerned)).collect()
}

/// Which of the assertions `all` are about `symbol`.
pub(crate) fn about(all: &[Assertion], symbol: &Symbol) -> Vec<Assertion> {
    all.iter().filter(|a| symbols_of(a).contains(symbol)).cloned().collect()
}

fn symbols_of(assertion: &Assertion) -> HashSet<Symbol> {
    let (Assertion::Eq(l, r)
    | Assertion::LT(l, r)
    | Assertion::GT(l, r)
    | Assertion::LTE(l, r)
    | Assertion::GTE(l, r)) = assertion;
    l.symbols().into_iter().chain(r.symbols()).collect()
}
