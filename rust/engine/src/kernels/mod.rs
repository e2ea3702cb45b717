//! Matrix kernels of ours, and those that tract has and does not choose (0.23.9). tract finds them
//! in its registries.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod few_columns;
#[cfg(target_arch = "x86_64")]
mod q4_0;
