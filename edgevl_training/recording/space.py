# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Watch over the disk: pause before it is full, go on when there is space again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import shutil

GB = 1_000_000_000
# Go on only with some more space than at the pause, so that it does not flicker.
_MARGIN = 1.02


def free_bytes(folder: Path) -> int:
    """Give the free bytes of the disk that holds a folder, or would hold it."""
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    return shutil.disk_usage(existing).free


class SpaceGuard:
    """Decides from the free space and the size of the bag whether to record."""

    def __init__(
        self, folder: Path, min_free_gb: float, max_gb: float,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        """
        Watch the disk of a folder; ``free_gb`` is its free space as of the last look.

        :param max_gb: size of the bag at which recording ends, 0 for never.
        :param free: gives the free bytes of the disk of a folder.
        """
        self._folder = folder
        self._min_free = min_free_gb * GB
        self._max_size = max_gb * GB
        self._free = free
        self._low = False
        self.free_gb = 0.0

    def problem(self) -> str:
        """Say why nothing may be written now; empty when all is well."""
        try:
            free = self._free(self._folder)
        except OSError as error:
            return f'{self._folder}: cannot tell the free space: {error.strerror}'
        self.free_gb = free / GB
        self._low = free < self._min_free * (_MARGIN if self._low else 1)
        if not self._low:
            return ''
        return (
            f'{self._folder}: {free / GB:.2f} GB free, expected at least '
            f'{self._min_free / GB:.2f} GB (min_free_gb); recording goes on when there is space'
        )

    def is_complete(self, size: int) -> bool:
        """Tell whether the bag has the size at which recording ends."""
        return bool(self._max_size) and size >= self._max_size
