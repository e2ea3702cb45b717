"""What is needed to look into a failed check, in one archive that can be sent to somebody."""

from __future__ import annotations

import io
import platform
import tarfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from torchtract import _native
from torchtract.nnef import schema

__all__ = ["write_debug_bundle"]


def write_debug_bundle(
    path: Path,
    model: Path,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None,
    error: BaseException,
) -> None:
    """Write a `.tgz` with the refused model, the example inputs, the error and the versions.

    Args:
        path: of the bundle.
        model: the archive or folder that failed.
        args: positional example arguments.
        kwargs: keyword example arguments.
        error: what the check raised.
    """
    leaves = pytree.tree_leaves((args, dict(kwargs or {})))
    tensors = [x.detach().cpu() for x in leaves if isinstance(x, torch.Tensor)]
    with tarfile.open(path, "w:gz", compresslevel=1) as bundle:
        bundle.add(model, arcname="model" + "".join(model.suffixes[-2:]))
        _add(bundle, "inputs.npz", _npz(tensors))
        _add(bundle, "error.txt", "".join(traceback.format_exception(error)).encode())
        _add(bundle, "versions.txt", _versions().encode())


def _npz(tensors: list[torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    arrays = [(t.float() if t.dtype == torch.bfloat16 else t).numpy() for t in tensors]
    np.savez(buffer, *arrays)
    return buffer.getvalue()


def _add(bundle: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    bundle.addfile(member, io.BytesIO(content))


def _versions() -> str:
    return (
        f"torchtract {_native.__version__}\ntract {schema.EMBEDDED}\n"
        f"torch {torch.__version__}\npython {platform.python_version()}\n"
        f"{platform.system()} {platform.machine()}\n"
    )
