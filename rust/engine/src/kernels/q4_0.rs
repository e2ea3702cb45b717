//! Products of `Q4_0` weights and float32 columns on x86-64.
//!
//! A prompt: tract unpacks 32 rows of weights into a panel that none of its kernels takes, since
//! its alignment is another, and multiplies column by column. The unpackings here have the
//! alignments of its kernels of several columns.
//!
//! A token: tract's kernel of one column has 256-bit registers and scales each weight. With AVX-512
//! a table lookup makes numbers of codes, and a block's sum is scaled.

use std::arch::x86_64::{
    __m256i, __m512, _mm_loadu_si128, _mm256_loadu_si256, _mm512_add_ps, _mm512_cvtepu8_epi32,
    _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_mul_ps, _mm512_permutexvar_ps, _mm512_set1_ps,
    _mm512_setr_ps, _mm512_setzero_ps, _mm512_srli_epi32, _mm512_storeu_ps,
};

use tract_core::internal::{TVec, inventory, tvec};
use tract_linalg::isa::{Arch, Isa, IsaReq};
use tract_linalg::mmm::{DynKernel, FusedKerSpec, MMMInputFormat, PanelExtractor};
use tract_linalg::mmm_routines::{MmmExtractor, MmmRoutine};
use tract_linalg::pack::Packing;
use tract_linalg::x86_64::mmm::{fma_mmm_f32_32x1, pq40_r32};
use tract_linalg::x86_64::panel_extract::packed_32_q40_to_f32;

/// Weights of a row that share a scale.
const BLOCK: usize = 32;
/// Bytes of the blocks of 32 rows: 32 scales in float16, then for each column of weights 16 bytes,
/// of which each has the codes of two rows, 16 apart.
const BLOCKS: usize = 64 + 16 * BLOCK;

const AVX512: IsaReq = IsaReq::ANY.needing(&[Isa::X86_64Avx512f]);

inventory::submit! { MmmExtractor { target: Arch::X86_64, make: || aligned(256) } }
inventory::submit! { MmmExtractor { target: Arch::X86_64, make: || avx512(aligned(512)) } }
inventory::submit! { MmmRoutine { make: || token_kernel().mmm() } }

/// tract's unpacking for kernels whose panels have this alignment in bytes.
fn aligned(bytes: usize) -> PanelExtractor {
    let mut extractor = packed_32_q40_to_f32.clone();
    extractor.name = format!("{}_aligned_{bytes}", extractor.name);
    extractor.to = extractor.to.align(bytes);
    extractor
}

/// The same with AVX-512.
fn avx512(extractor: PanelExtractor) -> PanelExtractor {
    PanelExtractor { kernel: unpack, isa: AVX512, ..extractor }
}

fn token_kernel() -> DynKernel<32, 1, f32> {
    let columns = f32::packing(1).align(4);
    let mut kernel =
        DynKernel::new("torchtract_q40_f32_32x1", multiply, f32::packing(32), columns.clone());
    let weights: Box<dyn MMMInputFormat> = Box::new(pq40_r32());
    kernel.packings = vec![(weights, Box::new(columns))];
    kernel.stores.clone_from(&fma_mmm_f32_32x1.stores);
    kernel.arch = Some(Arch::X86_64);
    kernel.with_isa(AVX512)
}

/// Column after column, the numbers of 32 rows.
unsafe fn unpack(input: *const u8, output: *mut u8, k: usize) {
    // SAFETY: tract gives `k / BLOCK` blocks of 32 rows and room for `k` columns of them, and asks
    // for this where there is AVX-512 only.
    unsafe { unpack_avx512(input, output.cast(), k) }
}

#[target_feature(enable = "avx512f")]
unsafe fn unpack_avx512(input: *const u8, output: *mut f32, k: usize) {
    for block in 0..k / BLOCK {
        // SAFETY: by the caller.
        unsafe {
            let weights = input.add(block * BLOCKS);
            let scales = scales(weights);
            for column in 0..BLOCK {
                let numbers = numbers(weights, column);
                let to = output.add((block * BLOCK + column) * 32);
                _mm512_storeu_ps(to, _mm512_mul_ps(numbers.0, scales.0));
                _mm512_storeu_ps(to.add(16), _mm512_mul_ps(numbers.1, scales.1));
            }
        }
    }
}

/// The product, and by tract's kernel what it has fused with it.
unsafe fn multiply(specs: &[FusedKerSpec<f32>]) -> isize {
    let [FusedKerSpec::Clear, FusedKerSpec::AddMatMul { k, pa, pb, .. }, rest @ ..] = specs else {
        return 1; // an error, by tract's convention: it writes no others
    };
    let mut tile = Tile([0.0; 32]);
    // SAFETY: tract gives panels of `k` columns, packed as `token_kernel` says, and asks for this
    // where there is AVX-512 only.
    unsafe { multiply_avx512(*pa, pb.cast(), *k, &mut tile) };
    let loaded = FusedKerSpec::LoadTile(tile.0.as_ptr(), tile.0.as_ptr());
    let mut then: TVec<FusedKerSpec<f32>> = tvec![loaded];
    then.extend_from_slice(rest);
    // SAFETY: the tile has 32 rows of one column, and the rest is as tract made it.
    unsafe { (fma_mmm_f32_32x1.kernel)(&then) }
}

/// A number for each of 32 rows.
#[repr(align(64))]
struct Tile([f32; 32]);

#[target_feature(enable = "avx512f")]
unsafe fn multiply_avx512(weights: *const u8, x: *const f32, k: usize, product: &mut Tile) {
    let mut total = (_mm512_setzero_ps(), _mm512_setzero_ps());
    for block in 0..k / BLOCK {
        // SAFETY: by the caller.
        unsafe {
            let weights = weights.add(block * BLOCKS);
            let (sums, scales) = (block_sums(weights, x.add(block * BLOCK)), scales(weights));
            total = multiply_add(sums, scales, total);
        }
    }
    // SAFETY: it has room for both.
    unsafe {
        _mm512_storeu_ps(product.0.as_mut_ptr(), total.0);
        _mm512_storeu_ps(product.0.as_mut_ptr().add(16), total.1);
    }
}

/// Numbers of 32 rows.
type Rows = (__m512, __m512);

/// Unscaled sums of one block in each row: of every fourth column, as one sum would wait for itself.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn block_sums(weights: *const u8, x: *const f32) -> Rows {
    let mut sums = [(_mm512_setzero_ps(), _mm512_setzero_ps()); 4];
    for column in (0..BLOCK).step_by(4) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: by the caller.
            unsafe {
                let x = _mm512_set1_ps(*x.add(column + i));
                *sum = multiply_add(numbers(weights, column + i), (x, x), *sum);
            }
        }
    }
    let [first, second, third, fourth] = sums;
    add(add(first, second), add(third, fourth))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn multiply_add(a: Rows, b: Rows, c: Rows) -> Rows {
    (_mm512_fmadd_ps(a.0, b.0, c.0), _mm512_fmadd_ps(a.1, b.1, c.1))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn add(a: Rows, b: Rows) -> Rows {
    (_mm512_add_ps(a.0, b.0), _mm512_add_ps(a.1, b.1))
}

/// The scales of a block.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn scales(weights: *const u8) -> Rows {
    let halves: *const __m256i = weights.cast();
    // SAFETY: by the caller.
    let (low, high) = unsafe { (_mm256_loadu_si256(halves), _mm256_loadu_si256(halves.add(1))) };
    (_mm512_cvtph_ps(low), _mm512_cvtph_ps(high))
}

/// The numbers, unscaled, in one column of a block.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn numbers(weights: *const u8, column: usize) -> Rows {
    let of_code = _mm512_setr_ps(
        -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0,
    );
    // SAFETY: by the caller.
    let bytes = unsafe { _mm_loadu_si128(weights.add(64 + 16 * column).cast()) };
    let codes = _mm512_cvtepu8_epi32(bytes);
    // The lookup sees the lowest four bits only.
    let high = _mm512_srli_epi32(codes, 4);
    (_mm512_permutexvar_ps(codes, of_code), _mm512_permutexvar_ps(high, of_code))
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss)]
mod tests {
    use tract_core::internal::tract_ndarray::{Array2, Ix2};
    use tract_core::model::{DatumTypeExt as _, IntoRunnable as _, SpecialOps as _, TypedModel};
    use tract_core::ops::einsum::EinSum;
    use tract_core::ops::konst::Const;
    use tract_core::ops::math::add;
    use tract_core::prelude::{
        DatumType, IntoArcTensor, IntoTValue, IntoTensor, TDim, TypedFact, tvec,
    };
    use tract_core::transform::get_transform;
    use tract_linalg::isa::native;

    use super::*;
    use crate::optimize::optimized;

    const K: usize = 3 * BLOCK;

    /// Weights that `Q4_0` has exactly, each row and block with a scale of its own.
    fn weights(rows: usize) -> Array2<f32> {
        Array2::from_shape_fn((rows, K), |(row, column)| {
            let code = if column % BLOCK == 0 { 0 } else { (row * 7 + column * 5) % 16 };
            (code as f32 - 8.0) * (1 + row % 5 + column / BLOCK) as f32 / 4.0
        })
    }

    /// The product of `[N, K]` and weights, and something added to each row.
    fn linear(weights: &Array2<f32>, quantized: bool) -> TypedModel {
        let mut model = TypedModel::default();
        let n: TDim = model.symbols.sym("N").into();
        let fact: TypedFact = DatumType::F32.fact([n, K.into()]);
        let x = model.add_source("x", fact).unwrap();
        let w = Const::new(weights.clone().into_tensor().into_arc_tensor()).unwrap();
        let w = model.wire_node("w", w, &[]).unwrap()[0];
        let rows = Array2::from_shape_fn((1, weights.nrows()), |(_, row)| row as f32);
        let rows = Const::new(rows.into_tensor().into_arc_tensor()).unwrap();
        let rows = model.wire_node("rows", rows, &[]).unwrap()[0];
        let product = EinSum::new("nk,mk->nm".parse().unwrap(), DatumType::F32);
        let product = model.wire_node("product", product, &[x, w]).unwrap()[0];
        let y = model.wire_node("y", add(), &[product, rows]).unwrap();
        model.select_output_outlets(&y).unwrap();
        model.declutter().unwrap();
        if quantized {
            get_transform("block_quant").unwrap().unwrap().transform(&mut model).unwrap();
        }
        optimized(model).unwrap()
    }

    fn run(model: &TypedModel, x: &Array2<f32>) -> Array2<f32> {
        let runnable = model.clone().into_runnable().unwrap();
        let outputs = runnable.run(tvec![x.clone().into_tensor().into_tvalue()]).unwrap();
        let y = outputs[0].to_plain_array_view::<f32>().unwrap();
        y.into_dimensionality::<Ix2>().unwrap().to_owned()
    }

    #[test]
    fn products_are_those_of_the_numbers_that_the_codes_stand_for() {
        for rows in [1, 32, 70] {
            let weights = weights(rows);
            let (quantized, plain) = (linear(&weights, true), linear(&weights, false));
            for n in [1, 2, 7, 40] {
                let x =
                    Array2::from_shape_fn((n, K), |(i, j)| ((i * 31 + j * 17) % 23) as f32 - 11.0);
                // Whole quarters, and no sum is rounded.
                assert_eq!(run(&quantized, &x), run(&plain, &x), "{rows} rows, {n} columns");
            }
        }
    }

    #[test]
    fn a_token_and_a_prompt_have_kernels_of_their_own() {
        let model = linear(&weights(64), true);
        let product = model.nodes.iter().find(|node| node.op.name() == "OptMatMul").unwrap();
        let told = product.op.info().unwrap().concat();
        let kernels = if native().has(Isa::X86_64Avx512f) {
            "[torchtract_q40_f32_32x1, avx512_mmm_f32_32x6]"
        } else if native().has(Isa::X86_64Fma) {
            "[fma_mmm_f32_32x1, fma_mmm_f32_32x3]"
        } else {
            "["
        };
        assert!(told.contains(kernels), "{told}");
    }
}
