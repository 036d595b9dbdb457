# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are this user's alone, and locks that go with the process that holds them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
import stat
import time


def read_private(path: Path, most: int) -> bytes:
    """Read a file that is no link, that is this user's and that nobody else may write to."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, 'rb') as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode) or is_open_to_others(found):
            raise ValueError('expected a file that only its owner, this user, may write to')
        if found.st_size > most:
            raise ValueError(f'expected at most {most} bytes, found {found.st_size}')
        return stream.read(most)


def age_s(path: Path) -> float:
    """Give the seconds since a file was last written or used; none for one that is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def is_open_to_others(found: os.stat_result) -> bool:
    return found.st_uid != os.geteuid() or bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def locked(path: Path) -> int | None:
    """
    Lock a file, and make it if need be.

    :returns: its handle, which holds the lock until it is closed; None while another process does.
    :raises OSError: when there can be no lock.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have dropped the file before it was locked.
        if os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(handle)
        raise
    os.close(handle)
    return None


def drop_unlocked(path: Path) -> None:
    """
    Remove a file that no process has locked.

    :raises OSError: when it cannot be locked or removed.
    """
    handle = locked(path)
    if handle is not None:
        try:
            path.unlink()
        finally:
            os.close(handle)
