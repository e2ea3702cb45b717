"""Exports without a check, each in a process of its own.

`python -m benchmarks.exporters NAME MODEL PATH` makes one and prints what it cost, as JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.models import Sample, sample

__all__ = [
    "OURS",
    "OURS_FOR_0_21",
    "TORCH_TO_NNEF",
    "Cost",
    "export",
    "target_of_torch_to_nnef",
]

OURS = "torchtract"
OURS_FOR_0_21 = "torchtract, 0.21.13"
TORCH_TO_NNEF = "torch-to-nnef"

_TRACT_THAT_ONLY_TELLS_ITS_VERSION = "#!/bin/sh\necho 'tract 0.23.8'\n"


@dataclass(frozen=True)
class Cost:
    """What an export took.

    Attributes:
        seconds: of the call, without imports and without making the model.
        peak_mb: largest resident memory of its process, in 10^6 bytes.
        added_mb: by how much the call raised that.
    """

    seconds: float
    peak_mb: float
    added_mb: float


def export(exporter: str, path: Path, model: str = "vit") -> Cost:
    """Export a model of `benchmarks.models` by one of the exporters above to a `.nnef.tgz`."""
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.exporters", exporter, model, str(path)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return Cost(**json.loads(process.stdout.splitlines()[-1]))


def _main(exporter: str, model: str, path: Path) -> None:
    exported = sample(model)
    export_model_to_nnef, target = _EXPORTERS[exporter](exported, path.parent)
    before_mb = _peak_mb()
    started = time.perf_counter()
    export_model_to_nnef(
        model=exported.model,
        args=(exported.input,),
        file_path_export=path,
        inference_target=target,
        input_names=["input"],
        output_names=["output"],
    )
    seconds = time.perf_counter() - started
    peak_mb = _peak_mb()
    print(json.dumps(asdict(Cost(seconds, peak_mb, peak_mb - before_mb))))  # noqa: T201


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
        folder: takes a stand-in for the binary of tract that the peer would download, though it
            would run nothing.
        dynamic_axes: as for its `TractNNEF`.
    """
    from torch_to_nnef import TractNNEF

    binary = folder / "tract"
    binary.write_text(_TRACT_THAT_ONLY_TELLS_ITS_VERSION)
    binary.chmod(0o755)
    return TractNNEF(
        version="0.23.8",  # the newest that it knows
        specific_tract_binary_path=binary,
        check_io=False,
        dynamic_axes={name: dict(axes) for name, axes in dynamic_axes.items()},
    )


_EXPORTERS = {
    OURS: _torchtract,
    OURS_FOR_0_21: _torchtract_for_0_21,
    TORCH_TO_NNEF: _torch_to_nnef,
}


def _peak_mb() -> float:
    if sys.platform == "linux":
        # A new process inherits its parent's ru_maxrss, but not this.
        status = Path("/proc/self/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
