"""Where a model came from, so that it can be made again in another process."""

from __future__ import annotations

import io
import pickle
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

from torchtract import _native

_Stamp = tuple[tuple[str, int, int], ...]
_Setting = dict[str, int | str]


@dataclass(frozen=True)
class Origin:
    """A model's source and what was set on it since.

    Pickling one reads the file (or packs the folder), so a model and its archive's bytes are in
    memory together only where the user passed bytes or the model was unpickled.

    Attributes:
        source: the file or folder it was loaded from, or the bytes of the archive.
        stamp: name, size and time of change of what was read, to notice that it changed.
        settings: the arguments of each `Model.set` since, in order.
    """

    source: Path | bytes
    stamp: _Stamp = ()
    settings: tuple[_Setting, ...] = ()

    @classmethod
    def at(cls, path: Path) -> Origin:
        """The origin of a model that is about to be loaded from `path`."""
        path = path.absolute()
        return cls(path, _stamp(path))

    def with_setting(self, values: _Setting) -> Origin:
        """The origin of the model that ``set(**values)`` gives."""
        return replace(self, settings=(*self.settings, values))

    def load(self) -> _native.Model:
        """Loads the model and sets its symbols again."""
        if isinstance(self.source, bytes):
            model = _native.Model.from_bytes(self.source)
        else:
            model = _native.Model.from_path(self.source)
        for values in self.settings:
            model = model.set(values)
        return model

    def __reduce__(
        self,
    ) -> tuple[type[Origin], tuple[bytes, _Stamp, tuple[_Setting, ...]]]:
        return Origin, (self._archive(), (), self.settings)

    def _archive(self) -> bytes:
        if isinstance(self.source, bytes):
            return self.source
        if _stamp(self.source) != self.stamp:
            raise pickle.PicklingError(
                f"{self.source} changed after the model was loaded from it: load it again"
            )
        return _pack(self.source) if self.source.is_dir() else self.source.read_bytes()


def _stamp(path: Path) -> _Stamp:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [(str(file), file.stat()) for file in files if file.exists()]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _pack(folder: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(folder, arcname=".")
    return packed.getvalue()
