"""Writing to a path all or nothing: beside the target first, renamed when it is complete."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from torchtract.errors import FormatError

__all__ = ["check_writable", "is_folder", "reported", "staged"]

_COMPRESSED = (".tgz", ".tar.gz")
_ARCHIVES = (*_COMPRESSED, ".tar")
#: What tells a folder that is written here, and the files that it may hold.
_MADE_HERE = {
    "graph.nnef": (".dat", ".nnef", ".quant"),
    "model.nnef.tar": (".jinja", ".json", ".tar"),
}
_OTHERS = (".7z", ".bz2", ".gz", ".onnx", ".pt", ".pth", ".xz", ".zip", ".zst")


def is_folder(path: Path) -> bool:
    """Whether a path of this name is written as a folder."""
    return not path.name.lower().endswith(_ARCHIVES)


def check_writable(path: str | os.PathLike[str], compression_level: int | None = None) -> None:
    """Refuse a path that an archive can't be written to, before any other work is done.

    Raises:
        FormatError: its name asks for another format or it does not go with the compression
            level, its folder is missing or read-only, or something else is in its place.
    """
    path = Path(path)
    _check_format(path, compression_level)
    with reported(path):
        target = Path(os.path.realpath(path))
        _check_place(path, target)
        with _temporary(target.parent):
            pass


@contextlib.contextmanager
def staged(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write a file or folder to, which takes the target's place at the end.

    Nothing is left of it if the block raises.

    Yields:
        The path, with the target's ending, in a folder of its own beside the target.

    Raises:
        FormatError: the target can't be written.
    """
    path = Path(path)
    check_writable(path)
    target = Path(os.path.realpath(path))
    with contextlib.ExitStack() as stack:
        with reported(path):
            folder = stack.enter_context(_temporary(target.parent))
        unfinished = folder / (target.name if is_folder(path) else path.name)
        try:
            yield unfinished
        except FormatError as error:  # of what was written meanwhile: the user knows the target
            told = str(error).replace(str(folder), str(path.parent))
            raise FormatError(told, source=error.source) from error
        with reported(path):
            _replace(unfinished, target)


@contextlib.contextmanager
def reported(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses into a FormatError that names the path."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise _refused(path, reason, "choose a path that can be written") from error


@contextlib.contextmanager
def _temporary(parent: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".torchtract-", dir=parent) as name:
        yield Path(name)


def _check_format(path: Path, compression_level: int | None) -> None:
    name = path.name.lower()
    if name.endswith(_OTHERS) and not name.endswith(_ARCHIVES):
        raise _refused(
            path, "this is another format", "end it in .nnef.tgz or .nnef.tar, or name a folder"
        )
    if compression_level is None:
        return
    if not name.endswith(_COMPRESSED):
        raise _refused(
            path,
            f"compression_level={compression_level} goes with a .tgz only",
            "leave it out or end the path in .nnef.tgz",
        )
    if compression_level not in range(10):
        raise FormatError(
            f"compression_level={compression_level}: is refused, since the levels are 0 (stored) "
            "to 9 (smallest); use one of these."
        )


def _check_place(path: Path, target: Path) -> None:
    if not target.parent.is_dir():
        raise _refused(path, f"there is no folder {str(target.parent)!r}", "create it first")
    if target.is_dir():
        if not is_folder(path):
            raise _refused(path, "a folder has this name", "choose another one")
        if not _is_replaceable(target):
            why = "the folder holds something else than an exported model"
            raise _refused(path, why, "choose another one")
    elif target.exists():
        if is_folder(path):
            why = "a file has this name and the new one is a folder"
            raise _refused(path, why, "end it in .nnef.tgz or choose another one")
        if not target.is_file():
            raise _refused(path, "this is no regular file", "choose another one")


def _is_replaceable(folder: Path) -> bool:
    """Whether a folder is empty, or holds an archive or a language model and nothing else."""
    for marker, suffixes in _MADE_HERE.items():
        if (folder / marker).is_file():
            files = (file for file in folder.rglob("*") if not file.is_dir())
            return all(file.suffix in suffixes for file in files)
    return not any(folder.iterdir())


def _replace(unfinished: Path, target: Path) -> None:
    if not target.is_dir():
        unfinished.replace(target)
        return
    previous = unfinished.with_name(f"{target.name}.previous")
    target.replace(previous)
    try:
        unfinished.replace(target)
    except OSError:
        previous.replace(target)
        raise


def _refused(path: Path, why: str, what_to_do: str) -> FormatError:
    return FormatError(f"{str(path)!r}: can't be written, since {why}; {what_to_do}.")
