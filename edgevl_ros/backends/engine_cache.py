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
from contextlib import contextmanager
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
from edgevl_ros.core.errors import BackendError

SCHEMA = 1
ENGINE, LOCK, PARTIAL, TIMING = '.engine', '.lock', '.partial', '.timing'
# An engine of another version or bundle is of no use any more; a few stay for going back.
MOST_ENGINES = 8
MAX_HEADER_BYTES = 1 << 14
MAX_ENGINE_BYTES = 1 << 32
MAX_TIMING_BYTES = 1 << 28
MAX_NOTE_BYTES = 1 << 16
ABANDONED_S = 3600.0
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
        if not stat.S_ISDIR(found.st_mode) or _is_open_to_others(found):
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
            os.utime(path)
        except FileNotFoundError:
            return b''
        except _UNREADABLE as error:
            refused(f'{path}: not used, and built anew: {error}')
            return b''
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
        self._drop_old()
        return path

    def discard(self, key: EngineKey) -> None:
        """Remove the engine of a key, which TensorRT did not take."""
        self._path(key.digest + ENGINE).unlink(missing_ok=True)

    def timing(self, key: EngineKey) -> bytes:
        """Give what builds for this GPU and version have measured; empty where there is none."""
        try:
            return _read_private(self.timing_path(key), MAX_TIMING_BYTES)
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
        where = f'{key.library} {key.version} {key.gpu} {key.capability}'
        return self._path(hashlib.sha256(where.encode()).hexdigest() + TIMING)

    def note_path(self, name: str) -> Path:
        """Name the file of a note."""
        return self._path(f'{name}.json')

    def note(self, name: str) -> dict[str, Any]:
        """Give a note by its name; empty where there is none that can be read."""
        try:
            found = json.loads(_read_private(self.note_path(name), MAX_NOTE_BYTES))
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
    def building(
        self, key: EngineKey, cancelled: Callable[[], bool], waiting: Callable[[], None]
    ) -> Iterator[None]:
        """
        Be the only one, of all this user's processes, that builds this engine.

        The lock belongs to the process: it goes with it, however it ends.

        :param waiting: called once if another process builds it at the moment.
        :raises EngineCacheError: when there can be no lock in this folder.
        :raises BuildCancelled: when it is told to stop before its turn has come.
        """
        path = self._path(key.digest + LOCK)
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _cannot(path, 'to lock', error) from error
        try:
            told = False
            while not _locked(lock):
                if cancelled():
                    raise BuildCancelled('cancelled while another process builds the engine')
                if not told:
                    waiting()
                    told = True
                time.sleep(_POLL_S)
            yield
        finally:
            os.close(lock)

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _write(self, name: str, content: bytes) -> Path:
        path, temporary = self._path(name), ''
        try:
            handle, temporary = tempfile.mkstemp(PARTIAL, f'{path.stem[:16]}.', self.folder)
            with os.fdopen(handle, 'wb') as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(path)
        except OSError as error:
            if temporary:
                Path(temporary).unlink(missing_ok=True)
            raise _cannot(path, f'to write {len(content)} bytes', error) from error
        return path

    def _drop_old(self) -> None:
        # Locks stay: another process may hold one, and would not see a new file of that name.
        engines = sorted(self.folder.glob(f'*{ENGINE}'), key=_age_s)
        # What a process left behind that was killed while it wrote.
        abandoned = [p for p in self.folder.glob(f'*{PARTIAL}') if _age_s(p) > ABANDONED_S]
        for path in [*engines[MOST_ENGINES:], *abandoned]:
            path.unlink(missing_ok=True)


def _read_engine(path: Path, key: EngineKey) -> bytes:
    """Read an engine that is this user's own and whole and made for the key."""
    header, newline, engine = _read_private(path, MAX_ENGINE_BYTES).partition(b'\n')
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


def _read_private(path: Path, most: int) -> bytes:
    """Read a file that is no link, that is this user's and that nobody else may write to."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, 'rb') as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode) or _is_open_to_others(found):
            raise ValueError('expected a file that only its owner, this user, may write to')
        if found.st_size > most:
            raise ValueError(f'expected at most {most} bytes, found {found.st_size}')
        return stream.read(most)


def _age_s(path: Path) -> float:
    """Give the seconds since a file was last written or used; none for one that is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _is_open_to_others(found: os.stat_result) -> bool:
    return found.st_uid != os.geteuid() or bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _cannot(path: Path, what: str, error: OSError) -> EngineCacheError:
    return EngineCacheError(
        f'{path}: expected {what}, found {error.strerror or error}; make room or set engine_cache '
        'to another folder'
    )
