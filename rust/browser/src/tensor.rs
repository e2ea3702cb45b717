//! Tensors of JavaScript, a typed array and a shape, to the engine's and back: a copy each time.

use js_sys::{
    Array, ArrayBuffer, BigInt64Array, BigUint64Array, Float32Array, Float64Array, Function,
    Int8Array, Int16Array, Int32Array, Object, Reflect, Uint8Array, Uint16Array, Uint32Array,
};
use torchtract_engine::{DType, Result, Tensor, tensor_from_bytes};
use wasm_bindgen::prelude::*;

use crate::error::run_error;
use crate::named::put;

#[wasm_bindgen(typescript_custom_section)]
const DECLARATIONS: &str = r#"
/** Elements of any type that the engine takes and gives. */
export type Elements =
  | Float32Array | Float64Array | Int8Array | Int16Array | Int32Array | BigInt64Array
  | Uint8Array | Uint8ClampedArray | Uint16Array | Uint32Array | BigUint64Array;

/** numpy's names of the element types. */
export type DType =
  | "bool" | "uint8" | "uint16" | "uint32" | "uint64" | "int8" | "int16" | "int32" | "int64"
  | "float16" | "float32" | "float64" | "complex64" | "complex128";

/** Elements in row-major order, and their shape. */
export interface Tensor {
  data: Elements;
  /** Sizes, outermost first. */
  shape: number[];
  /**
   * What `data` tells, if not given. To be given for bool (bytes of 0 and 1), float16 (where there
   * is no Float16Array: a Uint16Array of their bits) and complex numbers (pairs of floats).
   */
  dtype?: DType;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// A view of bytes: any typed array.
    type View;
    #[wasm_bindgen(method, getter)]
    fn buffer(this: &View) -> ArrayBuffer;
    #[wasm_bindgen(method, getter, js_name = byteOffset)]
    fn byte_offset(this: &View) -> u32;
    #[wasm_bindgen(method, getter, js_name = byteLength)]
    fn byte_length(this: &View) -> u32;
}

/// A tensor with the contents of `value`, for input `name`.
///
/// # Errors
/// When it is no tensor, or its data is not as long as its shape says.
pub fn to_tensor(name: &str, value: &JsValue) -> Result<Tensor> {
    let refuse = |why: &str| run_error(format!("input {name}: {why}"));
    let get = |key: &str| Reflect::get(value, &key.into()).unwrap_or(JsValue::UNDEFINED);
    let data = get("data");
    if !ArrayBuffer::is_view(&data) {
        return Err(refuse("no tensor, which is {data: a typed array, shape: sizes}"));
    }
    let dtype = match get("dtype").as_string() {
        Some(told) => DType::named(&told).ok_or_else(|| refuse(&format!("no dtype {told}")))?,
        None => dtype_of(&data).ok_or_else(|| refuse("an array of no type that tract has"))?,
    };
    let shape = shape_of(&get("shape"))
        .ok_or_else(|| refuse("a tensor has a shape: whole numbers, none below 0"))?;
    let view: View = data.unchecked_into();
    let bytes = Uint8Array::new_with_byte_offset_and_length(
        &view.buffer(),
        view.byte_offset(),
        view.byte_length(),
    );
    tensor_from_bytes(dtype, &shape, &bytes.to_vec()).map_err(|error| refuse(&error.message))
}

fn dtype_of(data: &JsValue) -> Option<DType> {
    let class = Reflect::get(data, &"constructor".into()).ok()?;
    let name = String::from(class.dyn_ref::<Function>()?.name());
    Some(match name.as_str() {
        "Float16Array" => DType::F16,
        "Float32Array" => DType::F32,
        "Float64Array" => DType::F64,
        "Int8Array" => DType::I8,
        "Int16Array" => DType::I16,
        "Int32Array" => DType::I32,
        "BigInt64Array" => DType::I64,
        "Uint8Array" | "Uint8ClampedArray" => DType::U8,
        "Uint16Array" => DType::U16,
        "Uint32Array" => DType::U32,
        "BigUint64Array" => DType::U64,
        _ => return None,
    })
}

fn shape_of(value: &JsValue) -> Option<Vec<usize>> {
    let sizes = value.dyn_ref::<Array>()?.iter().map(|size| whole(&size));
    sizes.map(|size| usize::try_from(size?).ok()).collect()
}

/// A number of JavaScript that is a whole one.
pub fn whole(value: &JsValue) -> Option<i64> {
    let number = value.as_f64()?;
    let counts = number.fract() == 0.0 && number.abs() < 9e15;
    #[allow(clippy::cast_possible_truncation, reason = "a float is exact up to 2^53")]
    counts.then_some(number as i64)
}

/// A tensor of JavaScript with the contents of `tensor`.
pub fn from_tensor(tensor: &Tensor) -> JsValue {
    let dtype = DType::of(tensor.datum_type()).expect("the engine gives plain tensors");
    let bytes = Uint8Array::from(tensor.as_bytes());
    let shape: Array = tensor.shape().iter().map(|&size| JsValue::from(size)).collect();
    let object = Object::new();
    put(&object, "data", &elements(dtype, &bytes));
    put(&object, "shape", &shape);
    put(&object, "dtype", &dtype.name().into());
    object.into()
}

fn elements(dtype: DType, bytes: &Uint8Array) -> JsValue {
    let buffer = bytes.buffer();
    match dtype {
        DType::Bool | DType::U8 => bytes.into(),
        DType::U16 | DType::F16 => Uint16Array::new(&buffer).into(),
        DType::U32 => Uint32Array::new(&buffer).into(),
        DType::U64 => BigUint64Array::new(&buffer).into(),
        DType::I8 => Int8Array::new(&buffer).into(),
        DType::I16 => Int16Array::new(&buffer).into(),
        DType::I32 => Int32Array::new(&buffer).into(),
        DType::I64 => BigInt64Array::new(&buffer).into(),
        DType::F32 | DType::C64 => Float32Array::new(&buffer).into(),
        DType::F64 | DType::C128 => Float64Array::new(&buffer).into(),
    }
}
