# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The teacher's embeddings of colour, as ``teach`` has left them."""

from __future__ import annotations

from pathlib import Path

from edgevl_ros.core.files import sha256_of
from edgevl_training.dataset import read_table, Shard, shards_of
from edgevl_training.errors import DatasetError
from edgevl_training.evaluation.pairs import TestPairs
from edgevl_training.output import MANIFEST, read_manifest
from edgevl_training.teaching.views import are_whole
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


class TaughtColors:
    """
    The embeddings of a finished output of ``teach``, found by the rows of their pairs.

    ``id``, ``dim`` and ``logit_scale`` are the teacher's; ``name`` is what `open_teacher` knows it
    by; ``whole`` tells that it has looked at nothing but whole pictures, as it does when it is
    measured itself. One shard is in memory at a time.
    """

    def __init__(self, folder: Path, pairs: Path) -> None:
        """
        Open the folder.

        :param pairs: output of ``extract``, which must be what was embedded.
        :raises DatasetError: when it is not.
        """
        manifest = read_manifest(folder, 'teach')
        seen, digest = manifest['pairs']['manifest_sha256'], sha256_of(pairs / MANIFEST)
        if seen != digest:
            raise DatasetError(
                f'{folder}: expected the embeddings of {pairs} (manifest {digest[:12]}), found '
                f'those of other pairs (manifest {str(seen)[:12]}); run "edgevl teach" on these'
            )
        teacher = manifest['teacher']
        self.id: str = teacher['id']
        self.name: str = teacher.get('name', teacher['id'])
        self.dim, self.logit_scale = int(teacher['dim']), float(teacher['logit_scale'])
        self.whole = are_whole(teacher.get('views'))
        self._folder, self._shards = folder, shards_of(folder, manifest)
        self._starts = np.cumsum([0, *(shard.rows for shard in self._shards)])
        self._cached: tuple[Shard, FloatArray] | None = None

    def of(self, pairs: TestPairs, part: slice) -> FloatArray:
        """Give the unit embeddings of some of the pairs, (N, D); NaN where there is none."""
        rows = pairs.rows[part]
        found = np.full((len(rows), self.dim), np.nan, np.float32)
        for shard, start in zip(self._shards, self._starts.tolist()):
            inside = np.flatnonzero((rows >= start) & (rows < start + shard.rows))
            if inside.size:
                found[inside] = self._read(shard)[rows[inside] - start]
        return found

    def _read(self, shard: Shard) -> FloatArray:
        if self._cached is None or self._cached[0] != shard:
            path = self._folder / shard.name
            column = read_table(path, ['teacher_embedding'], shard.rows)['teacher_embedding']
            rows = np.full((shard.rows, self.dim), np.nan, np.float32)
            present = column.is_valid().to_numpy()
            flat = column.drop_null().combine_chunks().flatten().to_numpy(zero_copy_only=False)
            if flat.size != present.sum() * self.dim:
                raise DatasetError(
                    f'{path}: expected embeddings of {self.dim} dimensions as its manifest says, '
                    'found others; run "edgevl teach" again'
                )
            rows[present] = flat.astype(np.float32).reshape(-1, self.dim)
            # Half precision has changed their length a little.
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            self._cached = shard, rows
        return self._cached[1]
