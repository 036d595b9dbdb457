# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files that a manifest names: inside their folder, and known by their hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgevl_ros.core.errors import FileNameError


def file_inside(folder: Path, name: object) -> Path:
    """
    Give the path of a file that lies directly in a folder.

    :raises FileNameError: when the name would lead anywhere else, by separators, dots or a link.
    """
    plain = isinstance(name, str) and name not in ('', '.', '..') and name == Path(name).name
    if not plain or '\\' in str(name) or '\0' in str(name):
        raise FileNameError(
            f'{folder}: expected plain file names in its manifest, found {name!r}; '
            'do not use this folder unless you trust who made it'
        )
    path = folder / str(name)
    if path.is_symlink():
        raise FileNameError(f'{path}: expected a plain file, found a link; copy the folder again')
    return path


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file as hexadecimal digits, in bounded memory."""
    digest = hashlib.sha256()
    with path.open('rb') as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
