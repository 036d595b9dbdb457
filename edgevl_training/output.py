# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Output folders: claimed by one command, written file by file, closed by a manifest.

While a verb works, ``in_progress.json`` says what is being made; the same command finds it after
a crash and goes on. ``manifest.json`` takes its place at the end, and nothing changes the folder
afterwards. A file is either whole and under its name, or ends in ``.partial``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
import fcntl
import importlib.metadata
import json
import os
from pathlib import Path
import platform
from typing import Any

from edgevl_ros.core.errors import EdgeVLError
from edgevl_training.errors import DatasetError, OtherOutputError, OutputError

SCHEMA = 1
MANIFEST = 'manifest.json'
IN_PROGRESS = 'in_progress.json'
PARTIAL = '.partial'
_LOCK = '.lock'
# Lists what a verb left out; where it found nothing to keep, this alone stays.
SKIPPED = 'skipped.csv'
_TOOLS = (
    'accelerate', 'edgevl_ros', 'numpy', 'nvidia-modelopt', 'open_clip_torch', 'pyarrow',
    'rosbags', 'timm', 'torch',
)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """
    Give a temporary name to write to; it becomes ``path`` when the block ends well.

    The content is on disk before the name is: a power cut leaves the old file or the new one.
    """
    temporary = path.with_name(path.name + PARTIAL)
    try:
        yield temporary
        with temporary.open('rb') as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, default=str) + '\n')


class OutputFolder:
    """An output folder that this process holds for the time of a ``with``."""

    def __init__(self, path: Path, verb: str, purpose: Mapping[str, Any]) -> None:
        """
        Name the folder, the verb and everything that decides the content, as JSON values.

        :param purpose: recipe and identity of the sources; the same purpose goes on where an
            earlier run stopped, another one is refused.
        """
        self.path = path
        self._verb = verb
        self._purpose = json.loads(json.dumps({'verb': verb, **purpose}, default=str))
        self._lock: Any = None

    def __enter__(self) -> OutputFolder:
        """
        Claim the folder and sweep half-written files out.

        :raises OutputError: when it holds something else, or another process writes to it.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f'{self.path}: expected a folder or nothing, found a file')
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._refuse_foreign()
            self._lock = (self.path / _LOCK).open('w')
        except OSError as error:
            raise OutputError(
                f'{self.path}: expected a folder to write to: {error.strerror}; name another --out'
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise OutputError(
                f'{self.path}: another edgevl {self._verb} is writing there; wait for it'
            ) from error
        if self.finished:
            (self.path / IN_PROGRESS).unlink(missing_ok=True)
        else:
            for partial in self.path.rglob(f'*{PARTIAL}'):
                partial.unlink()
            write_json(self.path / IN_PROGRESS, self._purpose)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let go of the folder, also of its name where nothing but a refusal came of it."""
        refused = kind is not None and issubclass(kind, EdgeVLError)
        if refused and {item.name for item in self.path.iterdir()} == {_LOCK, IN_PROGRESS}:
            (self.path / IN_PROGRESS).unlink()
        if self.finished:
            (self.path / _LOCK).unlink(missing_ok=True)
        self._lock.close()

    @property
    def finished(self) -> bool:
        """Tell whether the manifest is there, so that nothing is left to do."""
        return (self.path / MANIFEST).is_file()

    def finish(self, result: Mapping[str, Any]) -> None:
        """Close the folder: the manifest holds what was asked, what came out, and with what."""
        write_json(self.path / MANIFEST, {
            'schema': SCHEMA,
            **self._purpose,
            **result,
            'created': datetime.now(timezone.utc).isoformat(timespec='seconds'),
            'tools': tool_versions(),
        })
        (self.path / IN_PROGRESS).unlink(missing_ok=True)

    def _refuse_foreign(self) -> None:
        for name in (MANIFEST, IN_PROGRESS):
            if (self.path / name).is_file():
                found = _flat(_read_json(self.path / name))
                differences = [
                    f'  {key}: {_difference(found.get(key), value)}'
                    for key, value in _flat(self._purpose).items()
                    if found.get(key) != value
                ]
                if differences:
                    raise OtherOutputError(
                        f'{self.path} holds the output of another command; name another --out, '
                        'or remove it. What differs:\n' + '\n'.join(differences[:20])
                    )
                return
        # What a command leaves that was killed before it had said what it makes, or found nothing.
        own = {_LOCK, IN_PROGRESS + PARTIAL, SKIPPED}
        strangers = sorted(item.name for item in self.path.iterdir() if item.name not in own)
        if strangers:
            raise OutputError(
                f'{self.path}: expected an empty folder, found {strangers[0]!r}'
                f'{" and more" * (len(strangers) > 1)}; name another --out'
            )


def read_manifest(folder: Path, verb: str) -> dict[str, Any]:
    """
    Read the manifest that a verb left in its output folder.

    :raises DatasetError: when there is none yet, or it is of another verb or a later schema.
    """
    path = folder / MANIFEST
    if not path.is_file():
        state = 'an unfinished one' if (folder / IN_PROGRESS).is_file() else 'none'
        raise DatasetError(
            f'{folder}: expected the finished output of "edgevl {verb}", found {state}; '
            f'run that first'
        )
    manifest = _read_json(path)
    if manifest.get('verb') != verb or manifest.get('schema') != SCHEMA:
        raise DatasetError(
            f'{path}: expected the output of "edgevl {verb}" with schema {SCHEMA}, found verb '
            f'{manifest.get("verb")!r} with schema {manifest.get("schema")!r}'
        )
    return manifest


def tool_versions() -> dict[str, str]:
    """Give the versions of Python and of the libraries that decide results."""
    versions = {'python': platform.python_version()}
    for name in _TOOLS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise DatasetError(f'{path}: expected JSON: {error}; make that folder anew') from error
    if not isinstance(content, dict):
        raise DatasetError(
            f'{path}: expected a JSON object, found {type(content).__name__}; '
            'make that folder anew'
        )
    return content


def _flat(values: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """Join the keys of nested mappings with dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f'{prefix}{key}.'))
        else:
            flat[f'{prefix}{key}'] = value
    return flat


def _difference(there: Any, asked: Any) -> str:
    """Say how two values differ; of two lists of named things, which things do."""
    if not (_is_named_list(there) and _is_named_list(asked)):
        return f'there {_shown(there)}, asked {_shown(asked)}'
    old, new = ({item['name']: item for item in items} for items in (there, asked))
    said = [
        f'{where} {", ".join(names)}' for where, names in (
            ('only there', [name for name in old if name not in new]),
            ('only asked', [name for name in new if name not in old]),
            ('changed', [_changed(name, old[name], new[name]) for name in new
                         if name in old and old[name] != new[name]]),
        ) if names
    ]
    return '; '.join(said) or 'in another order'


def _is_named_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, dict) and 'name' in v for v in value)


def _changed(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    keys = [key for key in new if old.get(key) != new[key]]
    return f'{name} ({", ".join(keys).replace("_", " ")})'


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ', '.join(map(str, value)) or 'nothing'
    return 'nothing' if value is None else repr(value)
