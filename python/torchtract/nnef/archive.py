"""NNEF archives: `graph.nnef` and one `.dat` file per variable, as a folder, `.tar` or `.tgz`.

Equal graphs give equal bytes: order, times, owners and modes are fixed, and nothing of the
machine is written.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from torchtract.errors import FormatError
from torchtract.nnef import schema
from torchtract.nnef.graph import Graph, Variable
from torchtract.nnef.gzip_stream import GzipStream
from torchtract.nnef.staging import check_writable, is_folder, reported, staged
from torchtract.nnef.tensors import HEADER_SIZE, data_size, tensor_header, tensor_values
from torchtract.nnef.text import format_graph

__all__ = ["write_archive"]

_GRAPH = "graph.nnef"
_MTIME = 315532800  # 1980-01-01, which tract writes too: some tools stumble over 0

#: A file of the archive: its name, its size in bytes, and its bytes, made when they are asked for.
_Entry = tuple[str, int, Iterable[bytes | memoryview]]


def write_archive(
    graph: Graph,
    path: str | os.PathLike[str],
    *,
    version: str = schema.EMBEDDED,
    compression_level: int | None = None,
) -> None:
    """Write a graph and its variables, all or nothing.

    Variables are loaded one at a time, while they are written.

    Args:
        graph: what to write.
        path: `.tgz` or `.tar.gz`, `.tar`, or a folder. A file, and a folder that an earlier
            export wrote, is replaced.
        version: the oldest tract that must read it.
        compression_level: of a `.tgz`, 0 (stored) to 9 (smallest). By default, what hardly
            shrinks is stored, such as float weights: the archive is 8 % larger than at level
            9, and written and loaded several times as fast.

    Raises:
        FormatError: the graph can't be said for that version, or the path can't be written.
    """
    path = Path(path)
    check_writable(path, compression_level)
    text = format_graph(graph, version).encode()
    entries = _entries(text, _by_label(graph))
    with staged(path) as unfinished, reported(path):
        if is_folder(path):
            _write_folder(unfinished, entries)
        elif path.name.lower().endswith(".tar"):
            with unfinished.open("wb") as file:
                _write_tar(file, entries)
        else:
            with unfinished.open("wb") as file, GzipStream(file, compression_level) as stream:
                _write_tar(stream, entries)


def _by_label(graph: Graph) -> dict[str, Variable]:
    """The variables by their place in the archive, each once."""
    found: dict[str, Variable] = {}
    for variable in graph.variables.values():
        label = variable.label
        # tract skips files with a dot at the start of their name or of a folder's.
        if any(part.startswith(".") or not part for part in label.split("/")) or "\\" in label:
            raise FormatError(
                f"variable {label!r}: can't be written, since tract reads no file of that name; "
                "use a label without empty parts, leading dots and backslashes."
            )
        if found.setdefault(label, variable) != variable:
            raise FormatError(
                f"variable {label!r}: can't be written, since two different variables have this "
                "label; give each of them one of its own."
            )
    return found


def _entries(text: bytes, variables: dict[str, Variable]) -> Iterator[_Entry]:
    yield _GRAPH, len(text), [text]
    for label, variable in variables.items():
        yield f"{label}.dat", HEADER_SIZE + data_size(variable), _content(variable)


def _content(variable: Variable) -> Iterator[bytes | memoryview]:
    yield tensor_header(variable)
    yield tensor_values(variable)


def _write_folder(folder: Path, entries: Iterable[_Entry]) -> None:
    folder.mkdir()
    for name, _, parts in entries:
        path = folder / PurePosixPath(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:  # a clash where the file system ignores case is an error
            file.writelines(parts)


def _write_tar(stream: IO[bytes] | GzipStream, entries: Iterable[_Entry]) -> None:
    for name, size, parts in entries:
        info = tarfile.TarInfo(name)
        info.size, info.mtime = size, _MTIME
        stream.write(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
        for part in parts:
            stream.write(part)
        stream.write(bytes(-size % tarfile.BLOCKSIZE))
    stream.write(bytes(2 * tarfile.BLOCKSIZE))
