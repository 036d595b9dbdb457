# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What deciding needs to know of each pair: a few numbers a pair, never its images.

Tens of millions of pairs fit into memory this way, at about 50 bytes each; a shard is read at a
time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevl_training.curation.confidence import judge, Judgements, NO_LABEL
from edgevl_training.dataset import read_batches, Shard
from edgevl_training.errors import DatasetError
import numpy as np
from numpy.typing import NDArray
import pyarrow as pa
import pyarrow.compute as pc

_READ_ROWS = 4096
_NUMBERS = (
    'bag', 'color_stamp_ns', 'skew_ns', 'depth_coverage', 'sharpness', 'perceptual_hash',
)
# Half precision rounds a unit row by far less.
_NORM_TOLERANCE = 0.01


@dataclass(frozen=True)
class PairColumns:
    """
    Columns of N pairs in the order of their shards.

    ``bag`` int32 indexes ``bags``; ``stamp_ns`` and ``hash`` are int64; ``skew_ms`` and
    ``coverage`` are float32 with NaN for pairs of colour alone; ``sharpness`` is float32.
    ``starts`` holds the first row of each shard, and N at its end.
    """

    bags: tuple[str, ...]
    starts: NDArray[np.int64]
    bag: NDArray[np.int32]
    stamp_ns: NDArray[np.int64]
    skew_ms: NDArray[np.float32]
    coverage: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    hash: NDArray[np.int64]  # noqa: A003 (the field's own word)
    judged: Judgements

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self.bag)


def read_columns(
    pairs: tuple[Path, Sequence[Shard]],
    taught: tuple[Path, Sequence[Shard]],
    words: NDArray[np.float32],
    logit_scale: float,
    advance: Callable[[int], None],
) -> PairColumns:
    """
    Read pairs and their embeddings side by side, and judge every pair.

    :param pairs: the folder of ``extract`` and its shards; ``taught`` those of ``teach``.
    :param words: unit embeddings of the superset, float32 (K, D).
    :param advance: told of the pairs read since the last call.
    :raises DatasetError: when the two do not belong together row for row, naming the place.
    """
    _check_shards(pairs, taught)
    starts = np.cumsum([0, *(shard.rows for shard in pairs[1])])
    columns = _empty(int(starts[-1]))
    bags: dict[str, int] = {}
    for shard, start in zip(pairs[1], starts):
        rows = slice(int(start), int(start) + shard.rows)
        paths = (pairs[0] / shard.name, taught[0] / shard.name)
        ids = _read_numbers(paths[0], shard, columns, rows, bags)
        _judge_shard(paths[1], ids, words, logit_scale, columns, rows)
        advance(shard.rows)
    judged = Judgements(*(columns.pop(name) for name in ('label', 'confidence', 'margin')))
    return PairColumns(tuple(bags), starts, judged=judged, **columns)


def read_table(path: Path, columns: Sequence[str], rows: int) -> pa.Table:
    """
    Read some columns of a shard whole.

    :raises DatasetError: when it does not have the rows that its manifest counts.
    """
    batches = list(read_batches(path, columns, _READ_ROWS))
    found = sum(len(batch) for batch in batches)
    if found != rows or not batches:
        raise DatasetError(
            f'{path}: expected the {rows} rows that the manifest counts, found {found}; '
            'make the data set anew'
        )
    return pa.Table.from_batches(batches)


def embeddings_of(column: pa.ChunkedArray, dim: int) -> NDArray[np.float16]:
    """Give the embeddings of a column without nulls, float16 (N, dim)."""
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float16, copy=False).reshape(-1, dim)


def _empty(count: int) -> dict[str, Any]:
    return {
        'bag': np.empty(count, np.int32),
        'stamp_ns': np.empty(count, np.int64),
        'skew_ms': np.empty(count, np.float32),
        'coverage': np.empty(count, np.float32),
        'sharpness': np.empty(count, np.float32),
        'hash': np.empty(count, np.int64),
        'label': np.full(count, NO_LABEL, np.int32),
        'confidence': np.full(count, np.nan, np.float32),
        'margin': np.full(count, np.nan, np.float32),
    }


def _check_shards(
    pairs: tuple[Path, Sequence[Shard]], taught: tuple[Path, Sequence[Shard]]
) -> None:
    expected = [(shard.name, shard.rows) for shard in pairs[1]]
    found = [(shard.name, shard.rows) for shard in taught[1]]
    for mine, other in zip(expected, found):
        if mine != other:
            raise DatasetError(
                f'{taught[0] / other[0]}: expected {mine[0]} with {mine[1]} rows as in '
                f'{pairs[0]}, found {other[1]} rows; run "edgevl teach" on these pairs again'
            )
    if len(expected) != len(found):
        raise DatasetError(
            f'{taught[0]}: expected {len(expected)} shards as in {pairs[0]}, found {len(found)}; '
            'run "edgevl teach" on these pairs again'
        )


def _read_numbers(
    path: Path, shard: Shard, columns: dict[str, Any], rows: slice, bags: dict[str, int]
) -> pa.Array:
    """Fill the rows of one shard in; give its pair ids."""
    table = read_table(path, ['pair_id', *_NUMBERS], shard.rows)
    names = table['bag'].combine_chunks().dictionary_encode()
    codes = [bags.setdefault(name, len(bags)) for name in names.dictionary.to_pylist()]
    columns['bag'][rows] = np.array(codes, np.int32)[names.indices.to_numpy()]
    columns['stamp_ns'][rows] = table['color_stamp_ns'].to_numpy()
    columns['skew_ms'][rows] = _floats(table['skew_ns']) / 1e6
    columns['coverage'][rows] = _floats(table['depth_coverage'])
    columns['sharpness'][rows] = table['sharpness'].to_numpy()
    columns['hash'][rows] = table['perceptual_hash'].to_numpy()
    return table['pair_id'].combine_chunks()


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return column.cast(pa.float64()).to_numpy()


def _judge_shard(
    path: Path,
    ids: pa.Array,
    words: NDArray[np.float32],
    logit_scale: float,
    columns: dict[str, Any],
    rows: slice,
) -> None:
    table = read_table(path, ['pair_id', 'teacher_embedding'], len(ids))
    _check_ids(path, ids, table['pair_id'].combine_chunks())
    embedding = table['teacher_embedding']
    dim = words.shape[1]
    sizes = pc.unique(pc.list_value_length(embedding.drop_null())).to_pylist()
    if sizes not in ([], [dim]):
        raise DatasetError(
            f'{path}: expected embeddings of {dim} dimensions as its manifest says, found {sizes}'
        )
    present = np.flatnonzero(embedding.is_valid().to_numpy())
    if not present.size:
        return
    rows_there = embeddings_of(embedding.drop_null(), dim).astype(np.float32)
    _check_norms(path, rows_there, present)
    judged = judge(rows_there, words, logit_scale)
    for name in ('label', 'confidence', 'margin'):
        columns[name][rows.start + present] = getattr(judged, name)


def _check_ids(path: Path, expected: pa.Array, found: pa.Array) -> None:
    if expected.equals(found):
        return
    row = next(i for i, (a, b) in enumerate(zip(expected, found)) if not a.equals(b))
    raise DatasetError(
        f'{path}, row {row}: expected the pair {expected[row].as_py()!r}, found '
        f'{found[row].as_py()!r}; run "edgevl teach" on these pairs again'
    )


def _check_norms(path: Path, rows: NDArray[np.float32], present: NDArray[np.int64]) -> None:
    norms = np.linalg.norm(rows, axis=1)
    # Written so that NaN is wrong too.
    wrong = np.flatnonzero(~(np.abs(norms - 1) < _NORM_TOLERANCE))
    if wrong.size:
        raise DatasetError(
            f'{path}, row {present[wrong[0]]}: expected a unit embedding, found the norm '
            f'{norms[wrong[0]]:.4f}; run "edgevl teach" on these pairs again'
        )
