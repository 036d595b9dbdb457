# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write the folder that ``edgevl curate`` would leave, from pictures made in a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgevl_ros.core.files import sha256_of
from edgevl_training.dataset import curated_schema, read_batches, shards_of, write_shard
from edgevl_training.output import MANIFEST, OutputFolder, read_manifest
import numpy as np
from numpy.typing import NDArray
import pyarrow as pa
from support.pairs_folder import make_pairs

TEACHER = {'id': 'made by a test', 'logit_scale': 10.0}


def make_curated(
    folder: Path,
    pictures: Sequence[NDArray[np.uint8] | bytes],
    embeddings: NDArray[np.floating],
    *,
    splits: Sequence[str],
    labels: Sequence[str] | None = None,
    confidences: Sequence[float] | None = None,
    **more: Any,
) -> Path:
    """
    Write a finished folder of curated pairs; give its path.

    :param embeddings: unit rows of the teacher, (N, D).
    :param splits: train, validation or test, of each pair.
    :param labels: pseudo-labels; all alike unless given. The superset is these, each with the
        mean of its pairs' embeddings, and one phrase far from all.
    :param confidences: of the pseudo-labels; 0.9 unless given.
    :param more: for `make_pairs`, which the pairs come from.
    """
    pairs = make_pairs(folder.with_name(f'{folder.name}_pairs'), pictures, **more)
    extracted = read_manifest(pairs, 'extract')
    dim = embeddings.shape[1]
    columns = {
        'teacher_embedding': list(np.asarray(embeddings, np.float16)),
        'pseudo_label': list(labels or ['kitchen'] * len(pictures)),
        'confidence': list(confidences or [0.9] * len(pictures)),
        'margin': [0.8] * len(pictures),
        'split': list(splits),
    }
    purpose = {
        'recipe': {'made_by': 'a test'},
        'teacher': {**TEACHER, 'dim': dim},
        'pairs': {'manifest_sha256': sha256_of(pairs / MANIFEST)},
    }
    written, start = [], 0
    with OutputFolder(folder, 'curate', purpose) as output:
        for shard in shards_of(pairs, extracted):
            table = pa.Table.from_batches(list(read_batches(pairs / shard.name)))
            rows = slice(start, start + shard.rows)
            for name, values in columns.items():
                kind = curated_schema(dim).field(name).type
                table = table.append_column(name, pa.array(values[rows], kind))
            table = table.cast(curated_schema(dim))
            written.append(write_shard(folder / shard.name, table))
            start += shard.rows
        _write_superset(folder / 'superset.npz', columns['pseudo_label'], embeddings)
        output.finish({
            'second_modality': extracted['second_modality'],
            'counts': {'kept': len(pictures)},
            'shards': [asdict(shard) for shard in written],
        })
    return folder


def _write_superset(path: Path, labels: Sequence[str], embeddings: NDArray[np.floating]) -> None:
    known = sorted(set(labels))
    means = [embeddings[np.array(labels) == label].mean(0) for label in known]
    rows = np.array([*means, -np.mean(means, axis=0)], np.float32)
    np.savez(
        path, labels=np.array([*known, 'nowhere']),
        embeddings=rows / np.linalg.norm(rows, axis=1, keepdims=True),
        logit_scale=np.float32(TEACHER['logit_scale']), teacher=np.array(TEACHER['id']),
    )
