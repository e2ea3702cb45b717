//! Facts, how they stream, and properties, as plain objects.

use js_sys::{Array, Object};
use torchtract_engine::{Dim, Fact, Property, StreamAxis};
use wasm_bindgen::prelude::*;

use crate::named::put;
use crate::tensor::from_tensor;

#[wasm_bindgen(typescript_custom_section)]
const DECLARATIONS: &str = r#"
/** What is known of an input or an output before the model runs. */
export interface Fact {
  name: string;
  /** numpy's name of the element type; tract's, where numpy has no such type. */
  dtype: DType | string;
  /** A number for each axis, or an expression over symbols, such as "B" or "(S+3)/4". */
  shape: (number | string)[];
  /** Shape and element type as tract writes them: "B,3,224,224,F32". */
  spec: string;
}

/** How an input or an output takes part in a stream. */
export interface StreamAxis {
  /** The axis of the frames. */
  axis: number;
  /** Frames in each pulse. */
  pulse: number;
  /** How many frames come out of tract before the stream's first one. A Stream drops them. */
  delay: number;
}

/** Values for symbols: numbers, or expressions over other symbols. */
export type SymbolValues = Record<string, number | string>;
"#;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(typescript_type = "Fact[]")]
    pub type Facts;

    /// By the names of inputs or outputs.
    #[wasm_bindgen(typescript_type = "Record<string, StreamAxis | null>")]
    pub type StreamAxes;

    #[wasm_bindgen(typescript_type = "Record<string, string | string[] | Tensor>")]
    pub type Properties;
}

pub fn facts<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Facts {
    facts.into_iter().map(fact).collect::<Array>().unchecked_into()
}

fn fact(fact: &Fact) -> Object {
    let dims = fact.shape.iter().map(|dim| match dim {
        #[allow(clippy::cast_precision_loss, reason = "memory ends far below 2^53")]
        Dim::Size(size) => JsValue::from(*size as f64),
        Dim::Symbolic(text) => text.into(),
    });
    let dtype = fact.dtype.as_ref().map_or_else(Clone::clone, |known| known.name().to_string());
    let object = Object::new();
    put(&object, "name", &fact.name.as_str().into());
    put(&object, "dtype", &dtype.into());
    put(&object, "shape", &dims.collect::<Array>());
    put(&object, "spec", &fact.spec().into());
    object
}

pub fn stream_axes(facts: &[Fact], axes: &[Option<StreamAxis>]) -> StreamAxes {
    let object = Object::new();
    for (fact, axis) in facts.iter().zip(axes) {
        put(&object, &fact.name, &axis.as_ref().map_or(JsValue::NULL, stream_axis));
    }
    object.unchecked_into()
}

fn stream_axis(axis: &StreamAxis) -> JsValue {
    let object = Object::new();
    for (name, value) in [("axis", axis.axis), ("pulse", axis.pulse), ("delay", axis.delay)] {
        put(&object, name, &value.into());
    }
    object.into()
}

/// Text as strings, lists of it as arrays, numbers as tensors.
pub fn properties(named: Vec<(String, Property)>) -> Properties {
    let object = Object::new();
    for (name, property) in named {
        let value = match property {
            Property::Text(text) => text.into(),
            Property::Texts(texts) => {
                texts.into_iter().map(JsValue::from).collect::<Array>().into()
            }
            Property::Numbers(tensor) => from_tensor(&tensor),
        };
        put(&object, &name, &value);
    }
    object.unchecked_into()
}
