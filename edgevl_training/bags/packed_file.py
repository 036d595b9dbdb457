# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bag file that was compressed as a whole (``.mcap.zstd``, ``.db3.zstd``)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
import shutil
import tempfile
from typing import BinaryIO

from edgevl_training.bags.inflate import unpack_zstd, ZSTD_PIECE
from edgevl_training.bags.storage import (
    Deadline,
    ignore,
    Look,
    Lose,
    RawMessage,
    StorageFile,
)
from edgevl_training.errors import SourceError
import zstandard


class PackedFile:
    """
    One compressed file of a bag.

    It is unpacked into a temporary folder (TMPDIR) for as long as it is read, one file at a time;
    `rosbags` unpacks all files of a bag at once.
    """

    def __init__(self, path: Path, inner: Callable[[Path], StorageFile]) -> None:
        """Take the path, and what reads the file once it is unpacked."""
        self.path = path
        self.position = 0
        self._size = path.stat().st_size
        self._inner = inner

    def look(self, deadline: Deadline) -> Look:
        """Glance at the file; unpacking takes the time it takes."""
        with self._unpacked(ignore) as path:
            return self._inner(path).look(deadline)

    def times(self, _topics: Collection[str]) -> Iterator[tuple[str, int]]:
        """Give nothing: what reads the unpacked file takes care of its order."""
        yield from ()

    def messages(
        self, topics: Collection[str], lose: Lose, deadline: Deadline | None = None
    ) -> Iterator[RawMessage]:
        """Give the messages of some topics in the order of time."""
        with self._unpacked(lose) as path:
            unpacked_bytes = max(1, path.stat().st_size)
            file = self._inner(path)
            for message in file.messages(topics, lose, deadline):
                self.position = self._size * min(file.position, unpacked_bytes) // unpacked_bytes
                yield message
        self.position = self._size

    def sparse(self, topics: Collection[str], deadline: Deadline) -> Iterator[RawMessage]:
        """Give the messages of rare topics in the order of the file, until the deadline."""
        if deadline.passed:
            return
        with self._unpacked(ignore) as path:
            yield from self._inner(path).sparse(topics, deadline)

    @contextmanager
    def _unpacked(self, lose: Lose) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix='edgevl-bag-') as folder:
            path = Path(folder) / self.path.stem
            with self.path.open('rb') as source, path.open('wb') as target:
                size = 0
                try:
                    for piece in unpack_zstd(iter(partial(source.read, ZSTD_PIECE), b'')):
                        _write(target, piece, self.path)
                        size += len(piece)
                except (zstandard.ZstdError, EOFError) as error:
                    lose(f'what follows the first {size} bytes of the unpacked file',
                         f'the compressed file is damaged or cut off ({error})')
            yield path


def _write(target: BinaryIO, piece: bytes, path: Path) -> None:
    try:
        target.write(piece)
    except OSError as error:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        raise SourceError(
            f'{path}: expected room to unpack it in {folder}, found {free >> 20} MiB free '
            f'({error}); set TMPDIR to a folder on a larger disk') from error
