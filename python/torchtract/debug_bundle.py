"""What is needed to look into a failed check, in one archive that can be sent to somebody."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy.typing as npt

from torchtract.check.compare import LEVELS
from torchtract.errors import FormatError, LoadError
from torchtract.nnef import check_writable, staged
from torchtract.npz import Arrays, load_npz, save_npz

__all__ = ["DebugBundle", "check_bundle_path", "read_debug_bundle", "write_debug_bundle"]

_MODELS = ("model.nnef.tgz", "model.nnef.tar")
_INPUTS, _EXPECTED, _ACTUAL = "inputs.npz", "expected.npz", "actual.npz"
_REPORT = "report.json"


@dataclass(frozen=True)
class DebugBundle:
    """The parts of a bundle that a check can be repeated with.

    Attributes:
        model: the archive that failed.
        inputs: by name.
        expected: PyTorch's outputs by name.
        report: what the check reported.
    """

    model: bytes
    inputs: Arrays
    expected: Arrays
    report: dict[str, Any]


def check_bundle_path(path: Path) -> None:
    """Refuse a path that a bundle can't be written to, before any other work is done.

    Raises:
        FormatError: it is no `.tgz`, or it can't be written.
    """
    if not path.name.lower().endswith((".tgz", ".tar.gz")):
        raise FormatError(
            f"debug_bundle_path={str(path)!r}: can't be written, since a bundle is a .tgz; "
            "end the path in .tgz."
        )
    check_writable(path)


def write_debug_bundle(
    path: Path,
    model: Path,
    inputs: Mapping[str, npt.NDArray[Any]],
    expected: Mapping[str, npt.NDArray[Any]],
    actual: Mapping[str, npt.NDArray[Any]],
    texts: Mapping[str, str],
) -> None:
    """Write a `.tgz`, all or nothing.

    Args:
        path: of the bundle.
        model: the archive or folder that failed.
        inputs: at which it failed, by name.
        expected: PyTorch's outputs by name.
        actual: tract's outputs by name, none where it failed.
        texts: further files by name, `report.json` among them.

    Raises:
        FormatError: the bundle can't be written.
    """
    arrays = {_INPUTS: inputs, _EXPECTED: expected, _ACTUAL: actual}
    with staged(path) as unfinished, tarfile.open(unfinished, "w:gz", compresslevel=1) as bundle:
        for name, text in texts.items():
            _add(bundle, name, io.BytesIO(text.encode()))
        for name, values in arrays.items():
            with tempfile.TemporaryFile() as file:
                save_npz(file, values)
                _add(bundle, name, file)
        _add_model(bundle, model)


def _add_model(bundle: tarfile.TarFile, model: Path) -> None:
    """Add an archive as it is, and a folder as an archive."""
    if not model.is_dir():
        ending = "tar" if model.name.lower().endswith(".tar") else "tgz"
        with model.open("rb") as file:
            _add(bundle, f"model.nnef.{ending}", file)
        return
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for part in sorted(path for path in model.rglob("*") if path.is_file()):
                with part.open("rb") as content:
                    _add(archive, part.relative_to(model).as_posix(), content)
        _add(bundle, "model.nnef.tar", file)


def _add(bundle: tarfile.TarFile, name: str, content: IO[bytes]) -> None:
    """Add a whole file under this name, with nothing of its owner and time."""
    member = tarfile.TarInfo(name)
    member.size = content.seek(0, io.SEEK_END)
    content.seek(0)
    bundle.addfile(member, content)


def read_debug_bundle(path: Path) -> DebugBundle:
    """Read what a check can be repeated with.

    Raises:
        OSError: it can't be opened.
        LoadError: it is no bundle, or a damaged one.
    """
    with path.open("rb") as file:
        try:
            parts = _parts(file)
            report = _report(parts[_REPORT])
            model = next(parts[name] for name in _MODELS if name in parts)
            inputs, expected = (
                load_npz(io.BytesIO(parts[name]), f"{path}: {name}")
                for name in (_INPUTS, _EXPECTED)
            )
        except KeyError as error:
            raise _refused(path, f"it holds no {error.args[0]}") from error
        except StopIteration as error:
            raise _refused(path, "it holds no model") from error
        except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
            raise _refused(path, f"it is damaged or something else ({error})") from error
    return DebugBundle(model, inputs, expected, report)


def _parts(file: IO[bytes]) -> dict[str, bytes]:
    """The files of a `.tgz` by name, read to its end, where the checksum is."""
    with gzip.open(file) as stream, tarfile.open(fileobj=stream, mode="r:") as bundle:
        contents = {member.name: bundle.extractfile(member) for member in bundle}
        parts = {name: content.read() for name, content in contents.items() if content}
        stream.read()
        return parts


def _report(text: bytes) -> dict[str, Any]:
    report = json.loads(text)
    if not isinstance(report, dict) or str(report.get("tolerance")) not in LEVELS:
        raise ValueError(f"{_REPORT} names no tolerance level")
    return report


def _refused(path: Path, why: str) -> LoadError:
    return LoadError(
        f"{path}: can't be read as a debug bundle, since {why}; pass what export_model_to_nnef "
        "wrote to its debug_bundle_path."
    )
