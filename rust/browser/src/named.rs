//! Tensors by name, in JavaScript's objects, and in order, in the engine.

use js_sys::{Object, Reflect};
use torchtract_engine::{Fact, Result, Tensor};
use wasm_bindgen::prelude::*;

use crate::error::run_error;
use crate::tensor::{from_tensor, to_tensor};

#[wasm_bindgen]
extern "C" {
    /// Tensors by the names of inputs or outputs.
    #[wasm_bindgen(typescript_type = "Record<string, Tensor>")]
    pub type Tensors;
}

/// The names of inputs, in their order.
pub fn names<'a>(facts: impl Iterator<Item = &'a Fact>) -> Vec<String> {
    facts.map(|fact| fact.name.clone()).collect()
}

/// A tensor for each of `names`, in their order.
///
/// # Errors
/// When one is missing or unknown, or is no tensor.
pub fn in_order(given: &JsValue, names: &[String], who: &str) -> Result<Vec<Tensor>> {
    let optional = optional(given, names, who)?;
    let tensors = names.iter().zip(optional).map(|(name, tensor)| {
        tensor.ok_or_else(|| {
            run_error(format!("input {name}: missing, {who} takes {}", names.join(", ")))
        })
    });
    tensors.collect()
}

/// As [`in_order`], with `None` for what is missing.
///
/// # Errors
/// When one is unknown, or is no tensor.
pub fn optional(given: &JsValue, names: &[String], who: &str) -> Result<Vec<Option<Tensor>>> {
    if given.is_undefined() {
        return Ok(vec![None; names.len()]);
    }
    let takes = || format!("{who} takes {}", names.join(", "));
    let Some(object) = given.dyn_ref::<Object>() else {
        return Err(run_error(format!("no object of tensors by name: {}", takes())));
    };
    for key in Object::keys(object) {
        let key = key.as_string().unwrap_or_default();
        if !names.contains(&key) {
            return Err(run_error(format!("input {key}: unknown, {}", takes())));
        }
    }
    let tensor = |name: &String| {
        let value = Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED);
        (!value.is_undefined()).then(|| to_tensor(name, &value)).transpose()
    };
    names.iter().map(tensor).collect()
}

/// An object with the tensors that there are.
pub fn by_name<'a>(
    facts: impl IntoIterator<Item = &'a Fact>,
    tensors: impl IntoIterator<Item = Option<Tensor>>,
) -> Tensors {
    let object = Object::new();
    for (fact, tensor) in facts.into_iter().zip(tensors) {
        if let Some(tensor) = tensor {
            put(&object, &fact.name, &from_tensor(&tensor));
        }
    }
    object.unchecked_into()
}

/// Gives `object` a property. It is a plain one, which takes any.
pub fn put(object: &Object, name: &str, value: &JsValue) {
    Reflect::set(object, &name.into(), value).expect("a plain object takes any property");
}
