# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Shards of embeddings: made whole, recognised after a crash."""

from __future__ import annotations

from dataclasses import dataclass, field
import json
from pathlib import Path

from edgevl_ros.core.files import sha256_of
from edgevl_training.dataset import Shard, taught_schema, write_shard
from edgevl_training.errors import DatasetError
from edgevl_training.teachers.teacher import FloatArray
from edgevl_training.teaching.pictures import Batch
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

# Where a shard itself keeps which of its pictures have no embedding, and why.
_SKIPPED = b'edgevl.skipped'


@dataclass
class TaughtShard:
    """A shard that is written, and the pairs in it without an embedding with the reason."""

    shard: Shard
    skipped: list[tuple[str, str]]


@dataclass
class ShardInMaking:
    """The embeddings of a shard, batch by batch."""

    dim: int
    pair_ids: list[str] = field(default_factory=list)
    rows: list[np.ndarray | None] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def add(self, batch: Batch, embeddings: FloatArray) -> None:
        """Take in a batch and the embeddings, (B, D), of its readable pictures."""
        found = dict(zip(batch.positions, embeddings))
        start = len(self.pair_ids)
        for position, pair_id in enumerate(batch.pair_ids, start):
            row = found.get(position)
            reason = batch.unreadable.get(position, '')
            if row is not None and not np.isfinite(row).all():
                row, reason = None, 'the teacher gave no finite embedding'
            self.rows.append(None if row is None else row.astype(np.float16))
            if row is None:
                self.skipped.append((pair_id, reason))
        self.pair_ids += batch.pair_ids

    def write(self, path: Path) -> TaughtShard:
        """Write the shard whole or not at all."""
        schema = taught_schema(self.dim).with_metadata({_SKIPPED: json.dumps(self.skipped)})
        columns = [
            pa.array(self.pair_ids, pa.string()),
            pa.array(self.rows, schema.field('teacher_embedding').type),
        ]
        shard = write_shard(path, pa.Table.from_arrays(columns, schema=schema))
        return TaughtShard(shard, self.skipped)


def find_taught(path: Path, dim: int, rows: int) -> TaughtShard | None:
    """
    Recognise a shard that an earlier run finished, if there is one.

    :raises DatasetError: when there is something else under its name.
    """
    if not path.is_file():
        return None
    try:
        with pq.ParquetFile(path) as file:
            schema, found = file.schema_arrow, file.metadata.num_rows
        skipped = [tuple(item) for item in json.loads((schema.metadata or {})[_SKIPPED])]
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise DatasetError(
            f'{path}: expected a shard of embeddings from an earlier run, found something else '
            f'({error}); remove it and give the same command again'
        ) from error
    wanted = taught_schema(dim)
    same = schema.equals(wanted) and schema.field(1).metadata == wanted.field(1).metadata
    if found != rows or not same:
        raise DatasetError(
            f'{path}: expected {rows} embeddings of {dim} dimensions from an earlier run, found '
            f'{found} rows of {schema.names}; remove it and give the same command again'
        )
    return TaughtShard(Shard(path.name, found, sha256_of(path)), skipped)
