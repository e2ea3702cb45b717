//! Facts, nodes and properties as plain Python values.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use torchtract_engine::{Dim, Fact, Node, Property};

use crate::array::from_tensor;

/// `(name, dtype, shape)`.
pub type FactTuple<'py> = (String, String, Bound<'py, PyTuple>);
/// `(name, op, inputs, outputs)`.
pub type NodeTuple<'py> = (String, String, Vec<String>, Vec<FactTuple<'py>>);

pub fn facts<'a, 'py>(
    py: Python<'py>,
    facts: impl IntoIterator<Item = &'a Fact>,
) -> PyResult<Vec<FactTuple<'py>>> {
    facts.into_iter().map(|f| fact(py, f)).collect()
}

pub fn fact<'py>(py: Python<'py>, fact: &Fact) -> PyResult<FactTuple<'py>> {
    let dims = fact.shape.iter().map(|dim| match dim {
        Dim::Size(size) => Ok(size.into_pyobject(py)?.into_any()),
        Dim::Symbolic(text) => Ok(text.into_pyobject(py)?.into_any()),
    });
    let shape = PyTuple::new(py, dims.collect::<PyResult<Vec<_>>>()?)?;
    let dtype = fact.dtype.as_ref().map_or_else(Clone::clone, |known| known.name().to_string());
    Ok((fact.name.clone(), dtype, shape))
}

pub fn nodes(py: Python<'_>, nodes: Vec<Node>) -> PyResult<Vec<NodeTuple<'_>>> {
    nodes
        .into_iter()
        .map(|node| Ok((node.name, node.op, node.inputs, facts(py, &node.outputs)?)))
        .collect()
}

/// Text as `str`, lists of it as `list`, single numbers as Python's, others as arrays.
pub fn properties(py: Python<'_>, named: Vec<(String, Property)>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    for (name, property) in named {
        match property {
            Property::Text(text) => dict.set_item(name, text)?,
            Property::Texts(texts) => dict.set_item(name, texts)?,
            Property::Numbers(tensor) if tensor.rank() == 0 => {
                dict.set_item(name, from_tensor(py, tensor)?.call_method0("item")?)?;
            }
            Property::Numbers(tensor) => dict.set_item(name, from_tensor(py, tensor)?)?,
        }
    }
    Ok(dict)
}
