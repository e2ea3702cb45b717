//! The kernel of few columns for WebAssembly, which tract has and does not choose.

use tract_core::internal::inventory;
use tract_core::prelude::DatumType;
use tract_linalg::isa::{Arch, IsaSet};
use tract_linalg::mmm::{Query, Suitable};
use tract_linalg::mmm_tiers::MmmTier;

// Asked before tract's own tier, whose precedence is 1.
inventory::submit! {
    MmmTier {
        arch: Some(Arch::Wasm32Simd128),
        precedence: 2,
        name: "torchtract-few-columns",
        applies: |_| true,
        preferred,
    }
}

/// A stream's pulses are short: tract's choice for products of a few columns computes eight of
/// them, and leaves the rest. With four, Silero VAD takes 0.6 of the time.
fn preferred(_: &IsaSet, dtype: DatumType, query: &Query, _: &[Suitable]) -> Option<&'static str> {
    match (dtype, query.n) {
        (DatumType::F32, Some(2..=4)) => Some("wasm_f32_4x4"),
        _ => None,
    }
}
