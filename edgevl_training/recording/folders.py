# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of a bag: made anew, held by one process, and put on disk."""

from __future__ import annotations

from datetime import datetime
import fcntl
import os
from pathlib import Path

from edgevl_training.errors import OutputError


def check_writable(out: Path) -> None:
    """
    Make the folder for bags, if it is not there.

    :raises OutputError: when bags cannot be made in it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f'{out}: expected a folder to make bags in: {error.strerror}; name another one (out)'
        ) from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise OutputError(
            f'{out}: expected a folder to make bags in, found one that may not be written to; '
            'mend its permissions, or name another one (out)'
        )


def make_folder(out: Path, prefix: str) -> tuple[Path, int]:
    """
    Make a new folder named by the time, as 'ros2 bag record' does, and hold it.

    :returns: the folder and its descriptor, which is locked until it is closed.
    """
    out.mkdir(parents=True, exist_ok=True)
    stem = f'{prefix}_{datetime.now():%Y_%m_%d-%H_%M_%S}'
    for attempt in range(1, 1000):
        folder = out / (stem if attempt == 1 else f'{stem}_{attempt}')
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder, hold(folder)
    raise FileExistsError(f'{out / stem}: exists a thousand times')


def sync_file(path: Path) -> None:
    """Have everything that was written to a file put on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def hold(folder: Path) -> int:
    """
    Lock a folder for this process.

    :raises BlockingIOError: when another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        pass  # a file system without locks
    return descriptor
