"""A gzip stream made on several threads: one member, since tract reads no more than the first.

Float weights hardly shrink (by 8 % in float32), and undoing that takes longer than reading
them. So by default a block is compressed only where that pays.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import IO

__all__ = ["GzipStream"]

_BLOCK = 1 << 18
_SAMPLE = 1 << 14
_MAX_THREADS = 8  # with two blocks each in flight
# No name, no time, no operating system: equal input gives equal bytes.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_END_OF_DEFLATE = b"\x03\x00"


class GzipStream:
    """Compresses what is written to it, in blocks of fixed size that don't refer to each other.

    The bytes depend on the input and the level alone, not on the number of threads.

    Args:
        stream: what to write the compressed bytes to; left open.
        level: 0 stores, 9 compresses most; by default, blocks that hardly shrink are stored.
        threads: by default one for each processor, up to eight.
    """

    def __init__(
        self, stream: IO[bytes], level: int | None = None, threads: int | None = None
    ) -> None:
        self._stream = stream
        self._level = level
        self._threads = threads or min(os.cpu_count() or 1, _MAX_THREADS)
        self._pool = ThreadPoolExecutor(self._threads, "gzip")
        self._pending: deque[Future[bytes]] = deque()
        self._block = bytearray()
        self._crc = 0
        self._size = 0
        stream.write(_HEADER)

    def write(self, data: bytes | memoryview) -> int:
        """Take bytes; they are copied before this returns."""
        view = memoryview(data)
        for start in range(0, len(view), _BLOCK):
            self._append(view[start : start + _BLOCK])
        self._size += len(view)
        return len(view)

    def close(self) -> None:
        """Write the rest and the trailer."""
        self._submit()
        while self._pending:
            self._stream.write(self._pending.popleft().result())
        self._stream.write(_END_OF_DEFLATE)
        self._stream.write(struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))

    def __enter__(self) -> GzipStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def _append(self, part: memoryview) -> None:
        room = _BLOCK - len(self._block)
        self._block += part[:room]
        if len(self._block) == _BLOCK:
            self._submit()
            self._block += part[room:]

    def _submit(self) -> None:
        block, self._block = self._block, bytearray()
        self._pending.append(self._pool.submit(_deflate, block, self._level))
        self._crc = zlib.crc32(block, self._crc)
        while len(self._pending) > 2 * self._threads:
            self._stream.write(self._pending.popleft().result())


def _deflate(block: bytearray, level: int | None) -> bytes:
    """The block as a piece of a deflate stream that ends at a byte and refers to nothing before."""
    return _compress(block, *_way(block, level))


def _way(block: bytearray, level: int | None) -> tuple[int, int]:
    """The zlib level and strategy for a block, judged by its beginning.

    Run lengths and letter frequencies (`Z_RLE`) are quick to find, and all that there is to
    find in most weights; text and tables also repeat themselves.
    """
    if level == 0:
        return 0, zlib.Z_DEFAULT_STRATEGY
    sample = block[:_SAMPLE]
    thorough, quick = (level or 6, zlib.Z_DEFAULT_STRATEGY), (1, zlib.Z_RLE)
    small, larger = (len(_compress(sample, *way)) for way in (thorough, quick))
    if level is None and min(small, larger) > 7 / 8 * len(sample):
        return 0, zlib.Z_DEFAULT_STRATEGY
    worth_it = 0.98 if level else 0.75
    return thorough if small < worth_it * larger else quick


def _compress(data: bytearray, level: int, strategy: int) -> bytes:
    compressor = zlib.compressobj(
        level, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy
    )
    return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
