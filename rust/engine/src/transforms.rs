//! Which of tract's transforms there are.

use tract_core::internal::inventory;
use tract_core::transform::ModelTransformFactory;

/// Names of the transforms in this build, in alphabetical order. They register themselves, so a
/// linker that drops them goes unnoticed but for this list.
pub fn transforms() -> Vec<&'static str> {
    let mut names: Vec<_> =
        inventory::iter::<ModelTransformFactory>().map(|factory| factory.name).collect();
    names.sort_unstable();
    names
}
