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
from edgevl_training.curation.taught import Taught, TaughtRows
from edgevl_training.dataset import read_table, Shard
import numpy as np
from numpy.typing import NDArray
import pyarrow as pa

_NUMBERS = (
    'bag', 'color_stamp_ns', 'skew_ns', 'depth_coverage', 'sharpness', 'perceptual_hash',
)


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
    taught: Taught,
    words: NDArray[np.float32],
    logit_scale: float,
    advance: Callable[[int], None],
) -> PairColumns:
    """
    Read pairs and their embeddings side by side, and judge every pair.

    :param pairs: the folder of ``extract`` and its shards; ``taught`` what belongs to them.
    :param words: unit embeddings of the superset, float32 (K, D).
    :param advance: told of the pairs read since the last call.
    :raises DatasetError: when the two do not belong together row for row, naming the place.
    """
    starts = np.cumsum([0, *(shard.rows for shard in pairs[1])])
    columns = _empty(int(starts[-1]))
    bags: dict[str, int] = {}
    for number, (shard, start) in enumerate(zip(pairs[1], starts)):
        rows = slice(int(start), int(start) + shard.rows)
        _read_numbers(pairs[0] / shard.name, shard, columns, rows, bags)
        _judge(taught.rows(number), words, logit_scale, columns, rows)
        advance(shard.rows)
    judged = Judgements(*(columns.pop(name) for name in ('label', 'confidence', 'margin')))
    return PairColumns(tuple(bags), starts, judged=judged, **columns)


def _judge(
    taught: TaughtRows,
    words: NDArray[np.float32],
    logit_scale: float,
    columns: dict[str, Any],
    rows: slice,
) -> None:
    present = np.flatnonzero(taught.present)
    if not present.size:
        return
    judged = judge(taught.embeddings[present], words, logit_scale)
    for name in ('label', 'confidence', 'margin'):
        columns[name][rows.start + present] = getattr(judged, name)


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


def _read_numbers(
    path: Path, shard: Shard, columns: dict[str, Any], rows: slice, bags: dict[str, int]
) -> None:
    """Fill the rows of one shard in."""
    table = read_table(path, [*_NUMBERS], shard.rows)
    names = table['bag'].combine_chunks().dictionary_encode()
    codes = [bags.setdefault(name, len(bags)) for name in names.dictionary.to_pylist()]
    columns['bag'][rows] = np.array(codes, np.int32)[names.indices.to_numpy()]
    columns['stamp_ns'][rows] = table['color_stamp_ns'].to_numpy()
    columns['skew_ms'][rows] = _floats(table['skew_ns']) / 1e6
    columns['coverage'][rows] = _floats(table['depth_coverage'])
    columns['sharpness'][rows] = table['sharpness'].to_numpy()
    columns['hash'][rows] = table['perceptual_hash'].to_numpy()


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return column.cast(pa.float64()).to_numpy()
