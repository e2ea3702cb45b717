"""Exports without a check, each in a process of its own.

`python -m benchmarks.exporters NAME MODEL PATH` makes one and prints what it cost, as JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.costs import Cost, cost_of, print_cost
from benchmarks.models import Sample, sample
from benchmarks.stand_in import VERSION, write_stand_in

__all__ = [
    "OURS",
    "OURS_FOR_0_21",
    "TORCH_TO_NNEF",
    "export",
    "target_of_torch_to_nnef",
]

OURS = "torchtract"
OURS_FOR_0_21 = "torchtract, 0.21.13"
TORCH_TO_NNEF = "torch-to-nnef"


def export(exporter: str, path: Path, model: str = "vit") -> Cost:
    """Export a model of `benchmarks.models` by one of the exporters above to a `.nnef.tgz`."""
    return cost_of("benchmarks.exporters", exporter, model, path)


def _main(exporter: str, model: str, path: Path) -> None:
    exported = sample(model)
    export_model_to_nnef, target = _EXPORTERS[exporter](exported, path.parent)
    print_cost(
        partial(
            export_model_to_nnef,
            model=exported.model,
            args=(exported.input,),
            file_path_export=path,
            inference_target=target,
            input_names=["input"],
            output_names=["output"],
        )
    )


def _torchtract(exported: Sample, _: Path) -> tuple[Callable[..., object], Any]:
    from torchtract import TractNNEF, export_model_to_nnef

    return export_model_to_nnef, TractNNEF(check_io=False, dynamic_axes={"input": exported.axes})


def _torchtract_for_0_21(exported: Sample, _: Path) -> tuple[Callable[..., object], Any]:
    from torchtract import TractNNEF, export_model_to_nnef

    target = TractNNEF(version="0.21.13", check_io=False, dynamic_axes={"input": exported.axes})
    return export_model_to_nnef, target


def _torch_to_nnef(exported: Sample, folder: Path) -> tuple[Callable[..., object], Any]:
    from torch_to_nnef import export_model_to_nnef

    return export_model_to_nnef, target_of_torch_to_nnef(folder, {"input": exported.axes})


def target_of_torch_to_nnef(folder: Path, dynamic_axes: Mapping[str, Mapping[int, str]]) -> Any:
    """The peer's settings for an export without a check.

    Args:
        folder: takes a stand-in for the binary of tract.
        dynamic_axes: as for its `TractNNEF`.
    """
    from torch_to_nnef import TractNNEF

    return TractNNEF(
        version=VERSION,
        specific_tract_binary_path=write_stand_in(folder),
        check_io=False,
        dynamic_axes={name: dict(axes) for name, axes in dynamic_axes.items()},
    )


_EXPORTERS = {
    OURS: _torchtract,
    OURS_FOR_0_21: _torchtract_for_0_21,
    TORCH_TO_NNEF: _torch_to_nnef,
}


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
