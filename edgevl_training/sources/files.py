# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files of a data set: in the order people read names, never from outside its folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
import hashlib
import os
from pathlib import Path
import re
from typing import Any

from edgevl_ros.core.errors import BadImage

LARGEST_FILE_BYTES = 1 << 28
LARGEST_TEXT_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class Found:
    """A file by its name relative to the data set's folder, with '/'."""

    name: str
    size_bytes: int


def natural_order(name: str) -> tuple[list[Any], str]:
    """Sort frame9 before frame10; names that differ only in zeros have an order too."""
    parts: list[Any] = re.split(r'([0-9]+)', name)
    parts[1::2] = [int(number) for number in parts[1::2]]
    return parts, name


def by_stem(
    root: Path, folder: Path, suffixes: Collection[str], lose: Callable[[str, str], None]
) -> dict[str, Found]:
    """
    List the files below a folder by their path in it, without suffix.

    Hidden files and other suffixes are no items. Linked folders are not entered, for they may
    lead in circles.
    """
    found: dict[str, Found] = {}
    for directory, folders, names in os.walk(folder):
        here = Path(directory)
        folders.sort()  # the same losses in the same order every time
        lose_linked_folders(root, here, folders, lose)
        for name in sorted(names):
            path = here / name
            if name.startswith('.') or path.suffix.lower() not in suffixes:
                continue
            relative = path.relative_to(root).as_posix()
            stem = path.relative_to(folder).with_suffix('').as_posix()
            if stem in found:
                lose(relative, 'another file has the same stem')
            else:
                found[stem] = Found(relative, _size_of(path))
    return found


def lose_linked_folders(
    root: Path, here: Path, folders: Collection[str], lose: Callable[[str, str], None]
) -> None:
    """Tell of each linked folder among ``folders`` that it is not entered."""
    for name in folders:
        if (here / name).is_symlink():
            lose((here / name).relative_to(root).as_posix(), 'a linked folder is not entered')


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a link to nothing is lost when it is read
        return 0


def inside(root: Path, path: Path) -> bool:
    """Say whether a path is, with all links followed, in the folder ``root`` (itself resolved)."""
    return path.resolve().is_relative_to(root)


def read_inside(root: Path, name: str) -> bytes:
    """
    Read a file of a data set.

    :raises BadImage: when a link leads out of the folder, or it cannot be read.
    """
    path = root / name
    if not inside(root, path):
        raise BadImage('a link leads out of the data set')
    try:
        if not path.is_file():
            raise BadImage('no plain file')
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise BadImage(f'larger than {LARGEST_FILE_BYTES} bytes')
        return path.read_bytes()
    except OSError as error:
        raise BadImage(f'cannot be read: {error.strerror}') from error


def read_line(root: Path, name: str) -> str | None:
    """Read the first line of a small text file; None when there is no such file in the folder."""
    path = root / name
    if not inside(root, path) or not path.is_file():
        return None
    with path.open(encoding='utf-8', errors='replace') as stream:
        return stream.readline(1000).strip() or None


def fingerprint_of(files: Iterable[Found]) -> str:
    """Hash the names and sizes of files, not their content: enough to see that a set changed."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        digest.update(f'{file.name}\0{file.size_bytes}\n'.encode('utf-8', 'surrogateescape'))
    return digest.hexdigest()
