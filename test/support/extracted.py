# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run ``edgevl extract``, and read back what it left."""

from __future__ import annotations

from collections import Counter
import csv
from pathlib import Path
from typing import Any

import cv2
from edgevl_training.cli import main
from edgevl_training.dataset import PAIRS, shards_of
from edgevl_training.output import read_manifest
import numpy as np
from numpy.typing import NDArray
import pyarrow as pa
import pyarrow.parquet as pq
from support.camera_bag import PERIOD_NS, START_NS


class Extracted:
    """What a run left in its output folder."""

    def __init__(self, out: Path) -> None:
        """Read the folder back."""
        self.manifest = read_manifest(out, 'extract')
        tables = [pq.read_table(out / s.name) for s in shards_of(out, self.manifest)]
        assert all(table.schema.equals(PAIRS) for table in tables)
        self.metadata = [table.schema.metadata or {} for table in tables]
        self.rows = pa.concat_tables(tables).to_pylist()
        self.skipped = skipped_of(out)
        assert Counter(row['reason'] for row in self.skipped) == self.manifest['counts']['skipped']
        assert len(self.rows) == self.manifest['counts']['pairs']

    def numbers(self) -> list[int]:
        """Give which pairs of `CameraBag.pair` are there."""
        return [(row['color_stamp_ns'] - START_NS) // PERIOD_NS for row in self.rows]


def extract(tmp_path: Path, *options: str | Path) -> Extracted:
    """Run the verb to a good end."""
    out = tmp_path / 'out'
    assert main(['extract', '--out', str(out), *map(str, options)]) == 0
    return Extracted(out)


def skipped_of(out: Path) -> list[dict[str, Any]]:
    """Read the list of what was left out."""
    with (out / 'skipped.csv').open(newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def decoded(data: bytes) -> NDArray[Any]:
    """Decode a stored picture as it is."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
