# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write a bundle: the folder that carries a student and its words to a robot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
import hashlib
import io
import json
import os
from pathlib import Path
import shutil
from typing import Any

from edgevl_training.output import PARTIAL
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Words:
    """Labels with unit embeddings, float (K, D), as `Vocabulary` and `PhraseBank` read them."""

    labels: tuple[str, ...]
    embeddings: NDArray[np.floating]
    logit_scale: float
    teacher: str

    def arrays(self, labels_name: str, dtype: type[np.floating]) -> dict[str, NDArray[Any]]:
        """Give the arrays of ``vocabulary.npz`` or ``phrases.npz``."""
        return {
            labels_name: np.array(self.labels),
            'embeddings': self.embeddings.astype(dtype),
            'logit_scale': np.array(self.logit_scale, np.float32),
            'teacher': np.array(self.teacher),
        }


def write_bundle(
    folder: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any], force: bool = False,
    check: Callable[[Path], object] | None = None,
) -> None:
    """
    Write a bundle all at once or not at all.

    The files are completed under a temporary name beside ``folder``, which is renamed at the end.
    Anybody may read them, for a robot's services run as users of their own.

    :param files: content by plain file name; ``manifest.json`` is made here.
    :param manifest: every key but ``files``.
    :param force: replace a folder that exists.
    :param check: looks at the complete bundle before it takes its name; raises if it is unfit.
    :raises FileExistsError: when the folder exists and ``force`` is not set.
    """
    scratch = folder.with_name(f'.{folder.name}{PARTIAL}')
    fresh, old = scratch / 'fresh', scratch / 'old'
    # What a run leaves that was killed.
    _clear(scratch, old, folder)
    if folder.exists() and not force:
        raise FileExistsError(f'{folder}: expected no such folder; use --force to replace it')
    try:
        fresh.mkdir(parents=True)
        listed = {}
        for name, content in sorted(files.items()):
            _write(fresh / name, content)
            listed[name] = {'sha256': sha256(content), 'bytes': len(content)}
        text = json.dumps({**manifest, 'files': listed}, indent=2) + '\n'
        _write(fresh / 'manifest.json', text.encode())
        fresh.chmod(0o755)
        if check is not None:
            check(fresh)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    finally:
        _clear(scratch, old, folder)


def _write(path: Path, content: bytes) -> None:
    with path.open('wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)


def _clear(scratch: Path, old: Path, folder: Path) -> None:
    """Remove what is left of a try, but for the bundle that it was about to replace."""
    if old.exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(scratch, ignore_errors=True)


def sha256(content: bytes) -> str:
    """Compute the SHA-256 of bytes as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """
    Pack arrays as a compressed ``.npz`` without pickle; equal arrays give equal bytes.

    :raises TypeError: when an array holds Python objects.
    """
    if any(array.dtype.hasobject for array in arrays.values()):
        raise TypeError('expected arrays of numbers or text, found objects')
    stream = io.BytesIO()
    np.savez_compressed(stream, **dict[str, Any](arrays))
    return stream.getvalue()
