# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write the folder that ``edgevl teach`` would leave, with embeddings made in a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgevl_ros.core.files import sha256_of
from edgevl_training.dataset import read_batches, Shard, shards_of, taught_schema, write_shard
from edgevl_training.output import MANIFEST, OutputFolder, read_manifest
import numpy as np
from numpy.typing import NDArray
import pyarrow as pa


def make_taught(
    folder: Path,
    pairs: Path,
    embeddings: Sequence[NDArray[np.floating] | None],
    teacher: dict[str, Any],
    name: str = 'conse',
) -> Path:
    """
    Write a finished folder of teacher embeddings for a folder of pairs; give its path.

    :param embeddings: one for each pair, None where the picture could not be read.
    :param teacher: id, dim and logit_scale; ``name`` is what `open_teacher` calls it.
    """
    manifest = read_manifest(pairs, 'extract')
    identity = {'manifest_sha256': sha256_of(pairs / MANIFEST)}
    schema = taught_schema(teacher['dim'])
    start, written = 0, []
    purpose = {'recipe': {'teacher': name}, 'pairs': identity}
    with OutputFolder(folder, 'teach', purpose) as output:
        for shard in shards_of(pairs, manifest):
            ids = _pair_ids(pairs, shard)
            rows = embeddings[start:start + len(ids)]
            start += len(ids)
            written.append(write_shard(output.path / shard.name, _table(ids, rows, schema)))
        output.finish({
            'teacher': {**teacher, 'name': name}, 'shards': [asdict(shard) for shard in written],
        })
    return folder


def _pair_ids(pairs: Path, shard: Shard) -> list[str]:
    batches = read_batches(pairs / shard.name, ['pair_id'])
    return [pair_id for batch in batches for pair_id in batch['pair_id'].to_pylist()]


def _table(
    ids: list[str], rows: Sequence[NDArray[np.floating] | None], schema: pa.Schema
) -> pa.Table:
    halves = [None if row is None else np.asarray(row, np.float16) for row in rows]
    embedding = pa.array(halves, schema.field('teacher_embedding').type)
    return pa.Table.from_arrays([pa.array(ids), embedding], schema=schema)
