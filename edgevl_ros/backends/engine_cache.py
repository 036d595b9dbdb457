# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Engines kept on this device, in a folder that only its user may write to.

An engine is a file named by its key: one line of JSON with the key, the size and the hash of what
follows, then the engine. Loading an engine runs what is in it, so a file is read only if it is
the user's own, nobody else may change it, and it is whole and made for this very key; whatever
else is there is built anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, ExitStack, suppress
from dataclasses import asdict
import fcntl
import hashlib
import json
import os
from pathlib import Path
import stat
import tempfile
import time
from typing import Any

from edgevl_ros.backends.engine_recipe import BuildCancelled, EngineKey
from edgevl_ros.backends.private_files import (
    age_s,
    drop_unlocked,
    is_open_to_others,
    locked,
    read_private,
)
from edgevl_ros.core.errors import BackendError

SCHEMA = 1
ENGINE, LOCK, NOTE, PARTIAL, TIMING = '.engine', '.lock', '.json', '.partial', '.timing'
# An engine of another version or bundle is of no use any more; a few stay for going back.
MOST_ENGINES = 8
MAX_HEADER_BYTES = 1 << 14
MAX_ENGINE_BYTES = 1 << 32
MAX_TIMING_BYTES = 1 << 28
MAX_NOTE_BYTES = 1 << 16
ABANDONED_S = 3600.0
_DAY_S = 86400.0
# Seconds after which what nobody has written or used since is dropped.
_KEPT_S = {
    PARTIAL: ABANDONED_S, LOCK: 30 * _DAY_S, NOTE: 180 * _DAY_S, TIMING: 180 * _DAY_S,
}
_POLL_S = 0.2
# The last: what reading JSON makes of brackets in brackets.
_UNREADABLE = (OSError, ValueError, RecursionError)


class EngineCacheError(BackendError):
    """The folder of engines cannot be used; engines can be built without it."""


def default_folder() -> Path:
    """
    Give the user's own folder for engines, after the XDG base directory specification.

    :raises EngineCacheError: when the user has no home.
    """
    given = os.environ.get('XDG_CACHE_HOME', '')
    try:
        # The specification asks to pass over a relative path.
        base = Path(given) if Path(given).is_absolute() else Path.home() / '.cache'
    except RuntimeError as error:
        raise EngineCacheError(
            f'expected a home folder to keep engines in, found none ({error}); set engine_cache '
            'or XDG_CACHE_HOME'
        ) from error
    return base / 'edgevl_ros' / 'engines'


class EngineCache:
    """A folder of engines, timing caches and notes, shared by this user's processes."""

    def __init__(self, folder: Path) -> None:
        """
        Make the folder if need be and check that it is private.

        :raises EngineCacheError: when it cannot be made or others may write to it.
        """
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.stat()
        except OSError as error:
            raise _cannot(folder, 'a folder to keep engines in', error) from error
        if not stat.S_ISDIR(found.st_mode) or is_open_to_others(found):
            raise EngineCacheError(
                f'{folder}: expected a folder that only its owner, this user, may write to, found '
                f'owner {found.st_uid} and mode {stat.S_IMODE(found.st_mode):o}; '
                f'chmod 700 it, or set engine_cache to another one'
            )

    @classmethod
    def open(cls, folder: str) -> EngineCache:  # noqa: A003
        """
        Open the folder of that name; an empty one stands for the user's own.

        :raises EngineCacheError: as when it is made.
        """
        return cls(Path(folder).expanduser() if folder else default_folder())

    def load(self, key: EngineKey, refused: Callable[[str], None] = lambda _: None) -> bytes:
        """
        Give the engine of a key; empty when there is none that can be trusted.

        :param refused: told why a file that is there is not used.
        """
        path = self._path(key.digest + ENGINE)
        try:
            engine = _read_engine(path, key)
        except FileNotFoundError:
            return b''
        except _UNREADABLE as error:
            refused(f'{path}: not used, and built anew: {error}')
            return b''
        # Used now; where that cannot be noted, it is good all the same.
        with suppress(OSError):
            os.utime(path)
        return engine

    def store(self, key: EngineKey, engine: bytes) -> Path:
        """
        Keep an engine, whole or not at all, and drop the ones longest unused.

        :raises EngineCacheError: when it cannot be written, as on a full disk.
        """
        header = {
            'schema': SCHEMA, 'key': asdict(key), 'bytes': len(engine),
            'sha256': hashlib.sha256(engine).hexdigest(),
        }
        path = self._write(
            key.digest + ENGINE, json.dumps(header, sort_keys=True).encode() + b'\n' + engine
        )
        self._drop_old(path)
        return path

    def timing(self, key: EngineKey) -> bytes:
        """Give what builds for this GPU and version have measured; empty where there is none."""
        try:
            return read_private(self.timing_path(key), MAX_TIMING_BYTES)
        except (OSError, ValueError):
            return b''

    def store_timing(self, key: EngineKey, measured: bytes) -> None:
        """
        Keep what a build has measured.

        :raises EngineCacheError: when it cannot be written.
        """
        if measured:
            self._write(self.timing_path(key).name, measured)

    def timing_path(self, key: EngineKey) -> Path:
        """Name the file of what builds for this GPU and version have measured."""
        where = (
            f'{key.library} {key.version} {key.gpu} {key.capability} {key.multiprocessors} '
            f'{key.memory_bytes}'
        )
        return self._path(hashlib.sha256(where.encode()).hexdigest() + TIMING)

    def note_path(self, name: str) -> Path:
        """Name the file of a note."""
        return self._path(name + NOTE)

    def note(self, name: str) -> dict[str, Any]:
        """Give a note by its name; empty where there is none that can be read."""
        try:
            found = json.loads(read_private(self.note_path(name), MAX_NOTE_BYTES))
        except _UNREADABLE:
            return {}
        return found if isinstance(found, dict) else {}

    def store_note(self, name: str, note: dict[str, Any]) -> None:
        """
        Keep a note.

        :raises EngineCacheError: when it cannot be written.
        """
        self._write(self.note_path(name).name, json.dumps(note, indent=2, sort_keys=True).encode())

    @contextmanager
    def alone(
        self, name: str, cancelled: Callable[[], bool], waiting: Callable[[], None]
    ) -> Iterator[None]:
        """
        Be the only one, of all this user's processes, that does what this name stands for.

        The lock belongs to the process: it goes with it, however it ends.

        :param waiting: called once if another process does it at the moment.
        :raises EngineCacheError: when there can be no lock in this folder.
        :raises BuildCancelled: when it is told to stop before its turn has come.
        """
        path = self._path(name + LOCK)
        with ExitStack() as stack:
            try:
                told = False
                while (lock := locked(path)) is None:
                    if cancelled():
                        raise BuildCancelled(f'cancelled while another process holds {path}')
                    if not told:
                        waiting()
                        told = True
                    time.sleep(_POLL_S)
            except OSError as error:
                raise _cannot(path, 'to lock', error) from error
            stack.callback(os.close, lock)
            yield

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _write(self, name: str, content: bytes) -> Path:
        path, temporary = self._path(name), ''
        try:
            handle, temporary = tempfile.mkstemp(PARTIAL, f'{path.stem[:16]}.', self.folder)
            with os.fdopen(handle, 'wb') as stream:
                # Seen by `drop_unlocked`; some file systems have no locks.
                with suppress(OSError):
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(path)
        except OSError as error:
            if temporary:
                with suppress(OSError):
                    Path(temporary).unlink()
            raise _cannot(path, f'to write {len(content)} bytes', error) from error
        return path

    def _drop_old(self, newest: Path) -> None:
        """
        Drop engines longest unused, what was half written, and what nobody asked for in months.

        The newest stays, however old it looks: a robot without a clock begins in the past.
        """
        engines = sorted(set(self.folder.glob(f'*{ENGINE}')) - {newest}, key=age_s)
        for path in engines[MOST_ENGINES - 1:]:
            with suppress(OSError):
                path.unlink()
        for ending, most_s in _KEPT_S.items():
            for path in self.folder.glob(f'*{ending}'):
                if age_s(path) > most_s:
                    # A lock that is held, or what is being written, is in use however old.
                    with suppress(OSError):
                        drop_unlocked(path)


def _read_engine(path: Path, key: EngineKey) -> bytes:
    """Read an engine that is this user's own and whole and made for the key."""
    header, newline, engine = read_private(path, MAX_ENGINE_BYTES).partition(b'\n')
    if not newline or len(header) > MAX_HEADER_BYTES:
        raise ValueError('expected a line that says what it is, found none')
    said = json.loads(header)
    if not isinstance(said, dict) or said.get('schema') != SCHEMA:
        raise ValueError(f'expected an engine of schema {SCHEMA}, found another')
    if said.get('key') != json.loads(json.dumps(asdict(key))):
        raise ValueError('expected an engine of this graph, TensorRT and GPU, found another')
    if said.get('bytes') != len(engine):
        raise ValueError(f'expected {said.get("bytes")} bytes, found {len(engine)}')
    if said.get('sha256') != hashlib.sha256(engine).hexdigest():
        raise ValueError('expected what was written, found other bytes')
    return engine


def _cannot(path: Path, what: str, error: OSError) -> EngineCacheError:
    return EngineCacheError(
        f'{path}: expected {what}, found {error.strerror or error}; make room or set engine_cache '
        'to another folder'
    )
