"""Exports of a language model from a folder, without a check, each in a process of its own.

`python -m benchmarks.llm_exporters NAME FOLDER PATH` makes one and prints what it cost, as JSON.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.costs import Cost, cost_of, print_cost
from benchmarks.stand_in import write_stand_in

__all__ = ["OURS", "PEER", "TORCH_TO_NNEF_LLM", "export"]

OURS = "torchtract"
TORCH_TO_NNEF_LLM = "torch-to-nnef-llm"

#: The peer with a transformers that it works with, older than ours; `make bench` fills the folder.
PEER = Path(__file__).parents[2] / "build" / "peers" / "torch-to-nnef-llm"


def export(exporter: str, model: Path, path: Path) -> Cost:
    """Export a folder of Hugging Face by one of the exporters above.

    Args:
        exporter: its name.
        model: the folder, with a tokenizer.
        path: a folder, which is made anew.
    """
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    packages = PEER if exporter == TORCH_TO_NNEF_LLM else None
    return cost_of("benchmarks.llm_exporters", exporter, model, path, packages=packages)


def _main(exporter: str, model: Path, path: Path) -> None:
    # Both would import it in the call.
    import transformers.models.llama.modeling_llama  # noqa: F401

    print_cost(_EXPORTERS[exporter](model, path))


def _torchtract(model: Path, path: Path) -> Callable[[], object]:
    from torchtract.llm.exporter import export

    return partial(export, model, path / "model.nnef.tgz", check_io=False)


def _torch_to_nnef_llm(model: Path, path: Path) -> Callable[[], object]:
    from torch_to_nnef_llm.exporter import dump_llm

    return partial(
        dump_llm,
        local_dir=model,
        export_dirpath=path / "exported",  # must not be there
        tract_specific_path=write_stand_in(path),
        no_verify=True,
        check_inference_modes=False,
        trust_remote_code=False,
    )


_EXPORTERS = {OURS: _torchtract, TORCH_TO_NNEF_LLM: _torch_to_nnef_llm}


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
