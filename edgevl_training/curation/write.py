# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write what was decided: the kept pairs complete in shards, and one line on every pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgevl_ros.core.files import sha256_of
from edgevl_ros.core.vocabulary import Vocabulary
from edgevl_training.curation.columns import PairColumns
from edgevl_training.curation.confidence import NO_LABEL
from edgevl_training.curation.selection import KEPT, REASONS, Selection
from edgevl_training.curation.splits import SPLITS, Splits
from edgevl_training.curation.taught import Taught
from edgevl_training.dataset import (
    curated_schema,
    PAIRS,
    read_batches,
    read_table,
    Shard,
    write_shard,
)
from edgevl_training.output import atomic
import numpy as np
from numpy.typing import NDArray
import pyarrow as pa
import pyarrow.parquet as pq

DECISIONS = pa.schema([
    pa.field('pair_id', pa.string(), nullable=False),
    pa.field('bag', pa.string(), nullable=False),
    pa.field('item', pa.string(), nullable=False),
    pa.field('color_stamp_ns', pa.int64(), nullable=False),
    # Null where the picture has no embedding.
    pa.field('confidence', pa.float32()),
    pa.field('margin', pa.float32()),
    pa.field('pseudo_label', pa.string()),
    pa.field('split', pa.string(), nullable=False),
    pa.field('kept', pa.bool_(), nullable=False),
    # 'kept', or the first reason against it.
    pa.field('reason', pa.string(), nullable=False),
])


def write_kept(
    out: Path,
    pairs: tuple[Path, Sequence[Shard]],
    taught: Taught,
    columns: PairColumns,
    splits: Splits,
    selection: Selection,
    superset: Vocabulary,
    advance: Callable[[int], None],
) -> list[Shard]:
    """
    Copy the kept pairs, images and all, into shards named as those they come from.

    A shard that an earlier run finished is left as it is; none is made where nothing is kept.
    """
    written = []
    for number, (shard, start) in enumerate(zip(pairs[1], columns.starts)):
        rows = slice(int(start), int(start) + shard.rows)
        kept = np.flatnonzero(selection.kept[rows])
        path = out / shard.name
        if path.is_file() and pq.read_metadata(path).num_rows == len(kept):
            written.append(Shard(shard.name, len(kept), sha256_of(path)))
        elif kept.size:
            pictures = _kept_rows(pairs[0] / shard.name, kept)
            embeddings = taught.rows(number).embeddings[kept]
            table = _complete(
                pictures, embeddings, kept + rows.start, columns, splits, superset
            )
            written.append(write_shard(path, table))
        advance(shard.rows)
    return written


def write_decisions(
    path: Path,
    pairs: tuple[Path, Sequence[Shard]],
    columns: PairColumns,
    splits: Splits,
    selection: Selection,
    superset: Vocabulary,
) -> None:
    """Write a row on every pair, in the order of the shards."""
    labels = pa.array(superset.labels)
    with atomic(path) as temporary, pq.ParquetWriter(
        temporary, DECISIONS, compression='ZSTD'
    ) as writer:
        for shard, start in zip(pairs[1], columns.starts):
            rows = slice(int(start), int(start) + shard.rows)
            label = columns.judged.label[rows]
            none = label == NO_LABEL
            reason = selection.reason[rows]
            names = read_table(pairs[0] / shard.name, ['pair_id', 'item'], shard.rows)
            writer.write_table(pa.Table.from_arrays([
                names['pair_id'],
                pa.array(columns.bags).take(pa.array(columns.bag[rows])),
                names['item'],
                pa.array(columns.stamp_ns[rows]),
                pa.array(columns.judged.confidence[rows], mask=none),
                pa.array(columns.judged.margin[rows], mask=none),
                labels.take(pa.array(label, mask=none)),
                pa.array(SPLITS).take(pa.array(splits.split[rows])),
                pa.array(reason == KEPT),
                pa.array(REASONS).take(pa.array(reason)),
            ], schema=DECISIONS))


def write_superset(path: Path, superset: Vocabulary) -> None:
    """Write the superset as the vocabulary of a bundle is written, as arrays without pickle."""
    with atomic(path) as temporary, temporary.open('wb') as stream:
        np.savez(
            stream,
            labels=np.array(superset.labels),
            embeddings=superset.embeddings,
            logit_scale=np.float32(superset.logit_scale),
            teacher=np.array(superset.teacher),
        )


def _kept_rows(path: Path, kept: NDArray[np.int64]) -> pa.Table:
    """Read some rows of a shard with their images, holding no others for long."""
    parts, start = [], 0
    for batch in read_batches(path, PAIRS.names):
        inside = kept[(kept >= start) & (kept < start + len(batch))] - start
        if inside.size:
            parts.append(batch.take(pa.array(inside)))
        start += len(batch)
    return pa.Table.from_batches(parts)


def _complete(
    pictures: pa.Table,
    embeddings: NDArray[np.float32],
    rows: NDArray[np.int64],
    columns: PairColumns,
    splits: Splits,
    superset: Vocabulary,
) -> pa.Table:
    """Put the columns of a curated shard together; what its schema says goes with the images."""
    dim = superset.embeddings.shape[1]
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(embeddings.astype(np.float16).ravel()), dim
    )
    judged = columns.judged
    return pa.Table.from_arrays([
        *(pictures[name] for name in PAIRS.names),
        vectors,
        pa.array(superset.labels).take(pa.array(judged.label[rows])),
        pa.array(judged.confidence[rows]),
        pa.array(judged.margin[rows]),
        pa.array(SPLITS).take(pa.array(splits.split[rows])),
    ], schema=curated_schema(dim).with_metadata(pictures.schema.metadata))
