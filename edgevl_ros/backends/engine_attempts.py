# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Engines that end the process: tried twice and then left alone.

Who tries an engine leaves a mark beside it and takes it away afterwards. A lock is held meanwhile,
so a mark that is found was left by a process that is gone.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
import contextlib
from pathlib import Path

from edgevl_ros.backends.engine_cache import EngineCache, EngineCacheError
from edgevl_ros.backends.engine_recipe import EngineKey
from edgevl_ros.core.errors import BackendError

MOST_ATTEMPTS = 2
_BOOT = Path('/proc/sys/kernel/random/boot_id')

_ours: set[Path] = set()


@contextlib.contextmanager
def attempting(
    cache: EngineCache, key: EngineKey, cancelled: Callable[[], bool], waiting: Callable[[], None]
) -> Iterator[None]:
    """
    Load and run an engine for the first time, which may end the whole process.

    :param waiting: called once if another process tries it at the moment.
    :raises BackendError: when it has ended the process twice since this machine was started: a
        node that is started again and again must come to label at last.
    :raises BuildCancelled: when it is told to stop before its turn has come.
    """
    name = f'attempt-{key.digest}'
    with contextlib.ExitStack() as stack:
        # Where there can be no lock, there can be no mark either.
        with contextlib.suppress(EngineCacheError):
            stack.enter_context(cache.alone(name, cancelled, waiting))
            stack.enter_context(_marked(cache, name))
        yield


@contextlib.contextmanager
def _marked(cache: EngineCache, name: str) -> Iterator[None]:
    path, boot = cache.note_path(name), _boot()
    note = cache.note(name)
    # A power cut says nothing about an engine.
    found = note.get('failed', 0) if note.get('boot') == boot else 0
    failed = found if isinstance(found, int) else 0
    if failed >= MOST_ATTEMPTS:
        raise BackendError(
            f'expected an engine that runs, found that {failed} attempts to load it have ended '
            f'the process; look at the log of those, then remove {path} to try again'
        )
    cache.store_note(name, {'failed': failed + 1, 'boot': boot})
    _ours.add(path)
    try:
        yield
    finally:
        _ours.discard(path)
        _remove(path)


def forgive() -> None:
    """Take this process's marks away: it is ended on purpose while it tries an engine."""
    for path in list(_ours):
        _remove(path)


# An interpreter that ends in order was ended on purpose; after a crash nothing is called.
atexit.register(forgive)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _boot() -> str:
    """Tell one start of this machine from another; empty where the kernel does not."""
    try:
        return _BOOT.read_text(encoding='ascii').strip()
    except OSError:
        return ''
