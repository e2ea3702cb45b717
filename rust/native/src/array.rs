//! numpy arrays to tensors, by one copy, and tensors to arrays, without one.

use std::ffi::{c_int, c_void};
use std::{ptr, slice};

use numpy::npyffi::{NPY_ARRAY_WRITEABLE, NpyTypes, PY_ARRAY_API, get_type_object};
use numpy::{
    Complex32, Complex64, PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use torchtract_engine::{DType, Tensor, tensor_from_bytes};

/// Keeps a tensor alive for as long as an array shows its memory.
#[pyclass(frozen)]
struct Lender(#[allow(dead_code)] Tensor);

/// Python's part of the conversion.
static AS_ARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A tensor with the contents of `value`, an array or what can be seen as one, for input `name`.
pub fn to_tensor(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    if let Ok(array) = value.cast_exact::<PyUntypedArray>()
        && let Some(dtype) = plain_dtype(array)
    {
        return copy(array, dtype);
    }
    let py = value.py();
    let as_array = AS_ARRAY.import(py, "torchtract.runtime.arrays", "as_array")?;
    let array = as_array.call1((name, value))?.cast_into::<PyUntypedArray>()?;
    let dtype = plain_dtype(&array).expect("as_array gives plain arrays or raises");
    copy(&array, dtype)
}

/// The element type of an array that can be copied as it lies in memory.
fn plain_dtype(array: &Bound<'_, PyUntypedArray>) -> Option<DType> {
    let dtype = array.dtype();
    if !array.is_c_contiguous() || dtype.is_native_byteorder() == Some(false) {
        return None;
    }
    match (dtype.kind(), dtype.itemsize()) {
        (b'b', 1) => Some(DType::Bool),
        (b'u', 1) => Some(DType::U8),
        (b'u', 2) => Some(DType::U16),
        (b'u', 4) => Some(DType::U32),
        (b'u', 8) => Some(DType::U64),
        (b'i', 1) => Some(DType::I8),
        (b'i', 2) => Some(DType::I16),
        (b'i', 4) => Some(DType::I32),
        (b'i', 8) => Some(DType::I64),
        (b'f', 2) => Some(DType::F16),
        (b'f', 4) => Some(DType::F32),
        (b'f', 8) => Some(DType::F64),
        (b'c', 8) => Some(DType::C64),
        (b'c', 16) => Some(DType::C128),
        _ => None,
    }
}

fn copy(array: &Bound<'_, PyUntypedArray>, dtype: DType) -> PyResult<Tensor> {
    let len = array.len() * dtype.size();
    // SAFETY: the array is contiguous, and the interpreter's lock is held until it is copied.
    let bytes = unsafe {
        match (*array.as_array_ptr()).data {
            data if data.is_null() => &[],
            data => slice::from_raw_parts(data.cast::<u8>(), len),
        }
    };
    tensor_from_bytes(dtype, array.shape(), bytes).map_err(crate::engine::raise)
}

/// An array over the tensor's own memory, which it keeps.
pub fn from_tensor(py: Python<'_>, mut tensor: Tensor) -> PyResult<Bound<'_, PyAny>> {
    let dtype = DType::of(tensor.datum_type()).expect("the engine gives plain tensors");
    let mut dims: Vec<isize> = tensor.shape().iter().map(|&d| d.cast_signed()).collect();
    let data = tensor.as_bytes_mut().as_mut_ptr();
    let lender = Bound::new(py, Lender(tensor))?;
    // SAFETY: `data` is the memory of the lender's tensor, row-major, of the size that `dims` and
    // `dtype` say; the tensor moved into the lender, its memory did not. NewFromDescr and
    // SetBaseObject take over the references given to them.
    unsafe {
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            get_type_object(py, NpyTypes::PyArray_Type),
            descr(py, dtype).into_dtype_ptr(),
            c_int::try_from(dims.len())?,
            dims.as_mut_ptr(),
            ptr::null_mut(),
            data.cast::<c_void>(),
            NPY_ARRAY_WRITEABLE,
            ptr::null_mut(),
        );
        let array = Bound::from_owned_ptr_or_err(py, array)?;
        PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), lender.into_ptr().cast());
        Ok(array)
    }
}

fn descr(py: Python<'_>, dtype: DType) -> Bound<'_, PyArrayDescr> {
    match dtype {
        DType::Bool => numpy::dtype::<bool>(py),
        DType::U8 => numpy::dtype::<u8>(py),
        DType::U16 => numpy::dtype::<u16>(py),
        DType::U32 => numpy::dtype::<u32>(py),
        DType::U64 => numpy::dtype::<u64>(py),
        DType::I8 => numpy::dtype::<i8>(py),
        DType::I16 => numpy::dtype::<i16>(py),
        DType::I32 => numpy::dtype::<i32>(py),
        DType::I64 => numpy::dtype::<i64>(py),
        DType::F16 => numpy::dtype::<half::f16>(py),
        DType::F32 => numpy::dtype::<f32>(py),
        DType::F64 => numpy::dtype::<f64>(py),
        DType::C64 => numpy::dtype::<Complex32>(py),
        DType::C128 => numpy::dtype::<Complex64>(py),
    }
}
