//! Checks the inputs of a call against the model's facts before tract sees them, so that an error
//! names the input, the axis and the symbol.

use std::borrow::Borrow;
use std::fmt;

use anyhow::{anyhow, bail, ensure};
use tract_core::internal::DimLike;
use tract_core::prelude::{
    Assertion, DatumType, Symbol, SymbolScope, SymbolValues, TDim, Tensor, TypedModel,
};

use crate::Fact;
use crate::symbol::{all_assertions, check_assertions, free_symbols};
use crate::tensor::DType;

/// What the inputs of a call must be, prepared once per compiled model.
#[derive(Debug)]
pub(crate) struct Signature {
    inputs: Vec<Input>,
    symbols: Vec<Symbol>,
    assertions: Vec<Assertion>,
    scope: SymbolScope,
}

#[derive(Debug)]
struct Input {
    fact: Fact,
    datum_type: DatumType,
    sizes: Vec<Size>,
}

#[derive(Debug)]
enum Size {
    Fixed(usize),
    /// A symbol alone, by its position in `Signature::symbols`: it takes the size it meets.
    Symbol(usize),
    Expression(TDim),
}

/// A symbol's value, and the input and axis that it comes from.
#[derive(Clone, Copy)]
struct Binding {
    value: usize,
    input: usize,
    axis: usize,
}

impl Signature {
    pub fn new(graph: &TypedModel) -> anyhow::Result<Signature> {
        let symbols = free_symbols(graph);
        let size = |dim: &TDim| match dim {
            TDim::Sym(s) => symbols
                .iter()
                .position(|known| known == s)
                .map_or_else(|| Size::Expression(dim.clone()), Size::Symbol),
            _ => dim.as_usize().map_or_else(|| Size::Expression(dim.clone()), Size::Fixed),
        };
        let facts = Fact::of_inputs(graph)?;
        let inputs = facts.into_iter().enumerate().map(|(i, fact)| {
            let typed = graph.input_fact(i)?;
            let sizes = typed.shape.iter().map(size).collect();
            Ok(Input { fact, datum_type: typed.datum_type, sizes })
        });
        Ok(Signature {
            inputs: inputs.collect::<anyhow::Result<_>>()?,
            assertions: all_assertions(graph)?,
            scope: graph.symbols.clone(),
            symbols,
        })
    }

    pub fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }

    pub fn facts(&self) -> impl ExactSizeIterator<Item = &Fact> {
        self.inputs.iter().map(|input| &input.fact)
    }

    /// Refuses `tensors` that are not what the model takes; gives the values they bind symbols to.
    pub fn check(&self, tensors: &[Tensor]) -> anyhow::Result<SymbolValues> {
        let values = self.bind(tensors)?;
        if !self.symbols.is_empty() {
            self.check_values(&values)?;
        }
        Ok(values)
    }

    /// Refuses values of symbols that the model's assertions forbid.
    pub fn check_values(&self, values: &SymbolValues) -> anyhow::Result<()> {
        check_assertions(&self.scope, &self.assertions, values)
    }

    /// As `check`, whatever the model asserts of its symbols.
    pub fn bind<T: Borrow<Tensor>>(&self, tensors: &[T]) -> anyhow::Result<SymbolValues> {
        self.check_count(tensors.len())?;
        let mut bound = vec![None; self.symbols.len()];
        for (i, (input, tensor)) in self.inputs.iter().zip(tensors).enumerate() {
            let tensor = tensor.borrow();
            input.check_type(tensor)?;
            for (axis, (size, &got)) in input.sizes.iter().zip(tensor.shape()).enumerate() {
                match size {
                    Size::Fixed(expected) if *expected == got => (),
                    Size::Fixed(expected) => bail!(input.wrong_size(tensor, axis, expected)),
                    Size::Symbol(s) => {
                        let binding = Binding { value: got, input: i, axis };
                        self.agree(*s, *bound[*s].get_or_insert(binding), binding)?;
                    }
                    Size::Expression(_) => (),
                }
            }
        }
        self.bind_symbols(tensors, &bound)
    }

    pub fn check_count(&self, given: usize) -> anyhow::Result<()> {
        if given == self.inputs.len() {
            return Ok(());
        }
        let facts: Vec<String> = self.facts().map(ToString::to_string).collect();
        bail!("{given} inputs given, the model takes {}: {}", facts.len(), facts.join("; "))
    }

    fn agree(&self, symbol: usize, first: Binding, second: Binding) -> anyhow::Result<()> {
        ensure!(
            first.value == second.value,
            "inputs disagree about {}: axis {} of {} is {}, axis {} of {} is {}",
            self.symbols[symbol],
            first.axis,
            self.inputs[first.input].fact.name,
            first.value,
            second.axis,
            self.inputs[second.input].fact.name,
            second.value,
        );
        Ok(())
    }

    /// The symbols' values, once the sizes that are expressions over them fit the tensors.
    fn bind_symbols<T: Borrow<Tensor>>(
        &self,
        tensors: &[T],
        bound: &[Option<Binding>],
    ) -> anyhow::Result<SymbolValues> {
        let mut values = SymbolValues::default();
        if self.symbols.is_empty() {
            return Ok(values);
        }
        for (symbol, binding) in self.symbols.iter().zip(bound) {
            if let Some(binding) = binding {
                values.set(symbol, i64::try_from(binding.value)?);
            }
        }
        for (input, tensor) in self.inputs.iter().zip(tensors) {
            let tensor = tensor.borrow();
            for (axis, (size, &got)) in input.sizes.iter().zip(tensor.shape()).enumerate() {
                if let Size::Expression(expression) = size
                    && !agrees(expression, i64::try_from(got)?, &mut values)
                {
                    bail!(input.wrong_size(tensor, axis, expression));
                }
            }
        }
        Ok(values)
    }
}

/// Whether `expression` can be `got`. A symbol that is still free in it takes the value that makes
/// it so, if the expression is linear in it; what can't be decided here is left to tract.
fn agrees(expression: &TDim, got: i64, values: &mut SymbolValues) -> bool {
    let expression = expression.eval(values);
    let mut free = expression.symbols().into_iter();
    let (Some(symbol), None) = (free.next(), free.next()) else {
        return expression.as_i64().is_none_or(|size| size == got);
    };
    let at = |x| expression.eval(&SymbolValues::default().with(&symbol, x)).as_i64();
    let (Some(at_0), Some(at_1), Some(at_9)) = (at(0), at(1), at(9)) else { return true };
    let slope = at_1 - at_0;
    if slope == 0 || at_9 - at_0 != 9 * slope {
        return true;
    }
    let solution = (got - at_0) / slope;
    values.set(&symbol, solution);
    at(solution) == Some(got)
}

impl Input {
    fn check_type(&self, tensor: &Tensor) -> anyhow::Result<()> {
        let got = Got(tensor);
        let expected = DType::of(self.datum_type);
        ensure!(
            expected.is_some() && expected == DType::of(tensor.datum_type()),
            "input {}: got {got}: the dtype must be {}",
            self.fact,
            expected.map_or("one that numpy lacks", DType::name)
        );
        ensure!(
            self.sizes.len() == tensor.rank(),
            "input {}: got {got}: the shape must have {} axes",
            self.fact,
            self.sizes.len()
        );
        Ok(())
    }

    fn wrong_size(
        &self,
        tensor: &Tensor,
        axis: usize,
        expected: impl fmt::Display,
    ) -> anyhow::Error {
        let got = Got(tensor);
        anyhow!("input {}: got {got}: axis {axis} must be {expected}", self.fact)
    }
}

/// Writes what was passed, as numpy does: `float32 (2, 3)`.
struct Got<'a>(&'a Tensor);

impl fmt::Display for Got<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dtype = DType::of(self.0.datum_type()).map_or("?", DType::name);
        let sizes: Vec<String> = self.0.shape().iter().map(ToString::to_string).collect();
        let comma = if sizes.len() == 1 { "," } else { "" };
        write!(f, "{dtype} ({}{comma})", sizes.join(", "))
    }
}
