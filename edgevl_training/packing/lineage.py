# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a student comes from: the folders before it, and the sources that made the bundle."""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
import subprocess
from typing import Any

from edgevl_training.output import MANIFEST

_ROOT = Path(__file__).parents[2]
# A chain of verbs is short; folders that lead in a circle are not followed for ever.
_MOST_FOLDERS = 20


def folders_before(folder: Path) -> dict[str, Path]:
    """
    Follow the paths in manifests, from a folder back to where everything began.

    :returns: for each verb the folder found first; none for what was moved or removed.
    """
    found: dict[str, Path] = {}
    waiting = [folder]
    for _ in range(_MOST_FOLDERS):
        if not waiting:
            break
        here = waiting.pop(0)
        manifest = _manifest(here)
        if manifest and manifest.get('verb') not in found:
            found[str(manifest.get('verb'))] = here
            waiting += _named_in(here, manifest)
    return found


def _manifest(folder: Path) -> dict[str, Any] | None:
    """Read a manifest, or nothing where there is none that can be read."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _named_in(folder: Path, manifest: dict[str, Any]) -> Iterator[Path]:
    """Give the folders that a verb read; relative to its own."""
    paths = dict(manifest.get('paths') or {})
    if manifest.get('verb') == 'teach':
        paths['pairs'] = (manifest.get('pairs') or {}).get('path')
    for path in paths.values():
        if isinstance(path, str):
            yield (folder / path).resolve()


def sources_of(folders: dict[str, Path]) -> list[dict[str, Any]] | None:
    """Name the bags or image folders that were extracted, with their fingerprints."""
    if 'extract' not in folders:
        return None
    manifest = _manifest(folders['extract']) or {}
    return [
        {key: source[key] for key in ('name', 'fingerprint', 'size_bytes') if key in source}
        for source in manifest.get('sources', [])
    ]


def commit() -> str | None:
    """Name the commit of the source tree, or nothing outside of one."""
    try:
        lines = subprocess.run(
            ['git', 'rev-parse', '--show-toplevel', 'HEAD'],
            cwd=_ROOT, capture_output=True, text=True, check=True,
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    # An installation may lie inside of somebody else's repository.
    return lines[1] if Path(lines[0]) == _ROOT else None
