# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an exported student was made by and from, verb by verb back to the recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgevl_ros.core.files import sha256_of
from edgevl_training.output import MANIFEST
from edgevl_training.packing.lineage import folders_before

_VERBS = ('contrast', 'distill', 'curate', 'teach', 'extract')


def lineage_of(student: Path) -> list[dict[str, Any]]:
    """
    Follow the manifests from a trained student back to the recordings.

    :returns: for each verb, the last one first, the hash of its manifest, its recipe and its
        tools; or ``missing``, where its folder is not where the manifests lead.
    """
    folders = folders_before(student)
    # A student of stage 1 has no stage 2 behind it.
    verbs = [verb for verb in _VERBS if verb in folders or verb != 'contrast']
    return [_identity(verb, folders.get(verb)) for verb in verbs]


def _identity(verb: str, folder: Path | None) -> dict[str, Any]:
    if folder is None:
        return {'verb': verb, 'missing': 'not where the manifests lead'}
    manifest = json.loads((folder / MANIFEST).read_text(encoding='utf-8'))
    return {
        'verb': verb, 'manifest_sha256': sha256_of(folder / MANIFEST),
        'created': manifest.get('created'), 'recipe': manifest.get('recipe'),
        'tools': manifest.get('tools'),
    }
