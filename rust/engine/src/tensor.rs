//! Element types, and tensors from and to plain memory.

use std::fmt;

use anyhow::{Context, ensure};
use tract_core::prelude::{DatumType, SymbolValues, TDim};

use crate::guard::guarded;
use crate::{Result, Stage};

pub use tract_core::prelude::Tensor;

/// An element type that both tract and the outside know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned integer of 8 bits.
    U8,
    /// Unsigned integer of 16 bits.
    U16,
    /// Unsigned integer of 32 bits.
    U32,
    /// Unsigned integer of 64 bits.
    U64,
    /// Signed integer of 8 bits.
    I8,
    /// Signed integer of 16 bits.
    I16,
    /// Signed integer of 32 bits.
    I32,
    /// Signed integer of 64 bits.
    I64,
    /// IEEE half precision.
    F16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// Two numbers of single precision.
    C64,
    /// Two numbers of double precision.
    C128,
}

impl DType {
    const ALL: [DType; 14] = [
        DType::Bool,
        DType::U8,
        DType::U16,
        DType::U32,
        DType::U64,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::F16,
        DType::F32,
        DType::F64,
        DType::C64,
        DType::C128,
    ];

    /// The type that tract's elements of type `datum` have outside, if any: dimensions are
    /// integers of 64 bits there, quantized numbers are the integers they are stored as.
    pub fn of(datum: DatumType) -> Option<DType> {
        Some(match datum.unquantized() {
            DatumType::Bool => DType::Bool,
            DatumType::U8 => DType::U8,
            DatumType::U16 => DType::U16,
            DatumType::U32 => DType::U32,
            DatumType::U64 => DType::U64,
            DatumType::I8 => DType::I8,
            DatumType::I16 => DType::I16,
            DatumType::I32 => DType::I32,
            DatumType::I64 | DatumType::TDim => DType::I64,
            DatumType::F16 => DType::F16,
            DatumType::F32 => DType::F32,
            DatumType::F64 => DType::F64,
            DatumType::ComplexF32 => DType::C64,
            DatumType::ComplexF64 => DType::C128,
            _ => return None,
        })
    }

    /// tract's name for it.
    pub fn datum_type(self) -> DatumType {
        match self {
            DType::Bool => DatumType::Bool,
            DType::U8 => DatumType::U8,
            DType::U16 => DatumType::U16,
            DType::U32 => DatumType::U32,
            DType::U64 => DatumType::U64,
            DType::I8 => DatumType::I8,
            DType::I16 => DatumType::I16,
            DType::I32 => DatumType::I32,
            DType::I64 => DatumType::I64,
            DType::F16 => DatumType::F16,
            DType::F32 => DatumType::F32,
            DType::F64 => DatumType::F64,
            DType::C64 => DatumType::ComplexF32,
            DType::C128 => DatumType::ComplexF64,
        }
    }

    /// numpy's name for it.
    pub fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::U8 => "uint8",
            DType::U16 => "uint16",
            DType::U32 => "uint32",
            DType::U64 => "uint64",
            DType::I8 => "int8",
            DType::I16 => "int16",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::F16 => "float16",
            DType::F32 => "float32",
            DType::F64 => "float64",
            DType::C64 => "complex64",
            DType::C128 => "complex128",
        }
    }

    /// The type of that name.
    pub fn named(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// Bytes per element.
    pub fn size(self) -> usize {
        self.datum_type().size_of()
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A tensor that holds a copy of `bytes`: row-major elements in native byte order.
///
/// # Errors
/// When `bytes` is not as long as `shape` and `dtype` say.
pub fn tensor_from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Tensor> {
    guarded(Stage::Run, || {
        let len = shape.iter().product::<usize>() * dtype.size();
        ensure!(bytes.len() == len, "{len} bytes expected for {shape:?} of {dtype}");
        ensure!(
            dtype != DType::Bool || bytes.iter().all(|byte| *byte < 2),
            "a bool is 0 or 1, and these bytes are not"
        );
        // SAFETY: the length fits, and so do the booleans; every other type of `DType` allows any
        // bit pattern.
        unsafe { Tensor::from_raw_dt(dtype.datum_type(), shape, bytes) }
    })
}

/// Makes a tensor of tract fit for the outside: plain memory of a [`DType`], where dimensions that
/// depend on symbols take the value that `symbols` gives them.
pub(crate) fn to_plain(tensor: Tensor, symbols: &SymbolValues) -> anyhow::Result<Tensor> {
    let datum = tensor.datum_type();
    let dtype = DType::of(datum).with_context(|| format!("{datum:?} has no numpy type"))?;
    if datum == DatumType::TDim {
        let dims = tensor.try_as_plain_ram()?.as_slice::<TDim>()?.iter();
        let values = dims.map(|d| d.eval_to_i64(symbols)).collect::<anyhow::Result<Vec<i64>>>()?;
        return Tensor::from_shape(tensor.shape(), &values);
    }
    let mut tensor = tensor.into_plain_ram()?;
    // SAFETY: a quantized type and its integer have the same layout.
    unsafe { tensor.set_datum_type(dtype.datum_type()) };
    Ok(tensor)
}
