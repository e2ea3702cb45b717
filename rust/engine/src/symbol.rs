//! Symbols: their values, and what a model asserts of them.

use std::collections::HashSet;
use std::fmt;

use anyhow::{Context, bail};
use tract_core::prelude::{
    Assertion, Symbol, SymbolScope, SymbolValues, TDim, TypedModel, tensor0,
};
use tract_nnef::ast::Identifier;

use crate::fact::text;
use crate::graph::{Property, property};
use crate::{Error, Stage};

/// The property with assertions about multiples, separated by semicolons: `2 * (S / 2) == S`.
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
        Some(assertion) => assertion_text(assertion),
        None if scope.guess_scenario(values).is_err() => {
            format!("one of {}", scenarios(scope, |_| true).join(", "))
        }
        None => return Ok(()),
    };
    let message = format!("{} is not allowed: the model asserts {broken}", told(values));
    bail!(Error::new(Stage::Symbol, message))
}

/// What holds of a model's symbols: what the file asserts, and what a property of ours does.
///
/// The latter says that a size is a multiple of a number. As assertions they would let tract's
/// optimiser run without end (0.23.9).
pub(crate) fn all_assertions(graph: &TypedModel) -> anyhow::Result<Vec<Assertion>> {
    let mut all = graph.symbols.all_assertions();
    if let Some(Property::Text(multiples)) = property(graph, MULTIPLES)? {
        for assertion in multiples.split(';') {
            all.push(parsed(&graph.symbols, assertion)?);
        }
    }
    Ok(all)
}

/// An assertion, without adding it to the scope, which is all that tract offers.
fn parsed(scope: &SymbolScope, assertion: &str) -> anyhow::Result<Assertion> {
    type Comparison = fn(TDim, TDim) -> Assertion;
    let comparisons: [(&str, Comparison); 5] = [
        ("==", Assertion::Eq),
        ("<=", Assertion::LTE),
        (">=", Assertion::GTE),
        ("<", Assertion::LT),
        (">", Assertion::GT),
    ];
    let found = comparisons.iter().find_map(|(sign, new)| Some((assertion.split_once(sign)?, new)));
    let ((left, right), new) =
        found.with_context(|| format!("{assertion:?} is no comparison of two sizes"))?;
    Ok(new(scope.parse_tdim(left.trim())?, scope.parse_tdim(right.trim())?))
}

/// Whether an assertion, as it stands in a file, compares a symbol with a division of it.
fn of_multiples(assertion: &str) -> bool {
    let words = assertion.split(|c: char| !c.is_alphanumeric() && c != '_');
    let symbols: Vec<&str> =
        words.filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_')).collect();
    let twice = symbols.iter().enumerate().any(|(i, word)| symbols[..i].contains(word));
    assertion.contains('/') && twice && !assertion.contains(':')
}

/// Takes the assertions about multiples out of a file's extensions; the rest is tract's.
pub(crate) fn take_multiples(extensions: &mut Vec<(Identifier, String)>) -> Vec<String> {
    let mut taken = vec![];
    extensions.retain(|(kind, rest)| {
        let stays = kind.0 != "tract_assert" || !of_multiples(rest);
        if !stays {
            taken.push(rest.trim().to_string());
        }
        stays
    });
    taken
}

/// Adds assertions about multiples to those of a model.
pub(crate) fn add_multiples(
    graph: &mut TypedModel,
    mut multiples: Vec<String>,
) -> anyhow::Result<()> {
    if multiples.is_empty() {
        return Ok(());
    }
    if let Some(Property::Text(known)) = property(graph, MULTIPLES)? {
        multiples.insert(0, known);
    }
    for assertion in multiples.iter().flat_map(|text| text.split(';')) {
        parsed(&graph.symbols, assertion)?;
    }
    graph.properties.insert(MULTIPLES.to_string(), tensor0(multiples.join("; ")).into());
    Ok(())
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

/// An assertion in words that tract reads as the same: see [`text`].
fn assertion_text(assertion: &Assertion) -> String {
    let (left, sign, right) = match assertion {
        Assertion::Eq(left, right) => (left, "==", right),
        Assertion::LT(left, right) => (left, "<", right),
        Assertion::GT(left, right) => (left, ">", right),
        Assertion::LTE(left, right) => (left, "<=", right),
        Assertion::GTE(left, right) => (left, ">=", right),
    };
    format!("{} {sign} {}", text(left), text(right))
}

/// The scenarios' assertions that pass `filter`, such as `tg: S == 1`.
fn scenarios(scope: &SymbolScope, filter: impl Fn(&Assertion) -> bool) -> Vec<String> {
    let named = scope.all_scenarios().into_iter();
    named
        .flat_map(|(name, assertions)| {
            let told = assertions.into_iter().filter(&filter);
            let told = told.map(|a| format!("{name}: {}", assertion_text(&a)));
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
    let always = all.iter().filter(|a| concerned(a)).map(assertion_text);
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
