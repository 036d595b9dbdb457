# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Embeddings of the test pairs by every model, in files that a later run finds again.

``embeddings/NAME/part-00000.npz`` holds some consecutive pairs: ``pair_ids``, one float32 (N, D)
array for each modality, with NaN where there is no picture, and ``problems``, (modality, why) of
each picture that cannot be used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
import zipfile

from edgevl_training.errors import DatasetError
from edgevl_training.evaluation.pairs import load_pairs, Loaded, TestPairs
from edgevl_training.evaluation.runners import Runner
from edgevl_training.output import atomic
from edgevl_training.teaching.prefetch import prefetched
import numpy as np
from numpy.typing import NDArray

# Pairs a file: what a kill costs at most, and what memory holds of one model.
PART_PAIRS = 512
_BATCHES_AHEAD = 2

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """Embeddings of some consecutive pairs by one model; ``rows`` maps a modality to (N, D)."""

    rows: Mapping[str, FloatArray]
    # Pair, modality, what is wrong with the picture.
    problems: tuple[tuple[str, str, str], ...] = ()


class EmbeddingFiles:
    """The embeddings of one result."""

    def __init__(self, folder: Path, pairs: TestPairs) -> None:
        """Name the folder of the files."""
        self.folder = folder
        self._pairs = pairs
        self.count = -(-len(pairs) // PART_PAIRS)

    def find(self, index: int) -> Part | None:
        """Read a part that an earlier run finished; None where there is none, or a broken one."""
        try:
            # Opened here: NumPy forgets to close a file that turns out to be broken.
            with self._path(index).open('rb') as file, np.load(file, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        ids = found.pop('pair_ids', np.array([])).tolist()
        problems = found.pop('problems', np.empty((0, 3)))
        if ids != list(self._pairs.ids[part_of(index)]):
            return None
        return Part(found, tuple((str(a), str(b), str(c)) for a, b, c in problems))

    def parts(self) -> Iterator[tuple[slice, Part]]:
        """
        Read all embeddings, some consecutive pairs at a time.

        :raises DatasetError: when a file went missing.
        """
        for index in range(self.count):
            part = self.find(index)
            if part is None:
                raise DatasetError(
                    f'{self._path(index)}: expected embeddings of this run, found none that can '
                    'be read; give the same command again'
                )
            yield part_of(index), part

    def write(self, index: int, part: Part) -> None:
        """Write a part whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ids = list(self._pairs.ids[part_of(index)])
        problems = np.array(part.problems, str).reshape(-1, 3)
        with atomic(self._path(index)) as temporary, temporary.open('wb') as stream:
            arrays: dict[str, Any] = {'pair_ids': np.array(ids), 'problems': problems, **part.rows}
            np.savez(stream, **arrays)

    def _path(self, index: int) -> Path:
        return self.folder / f'part-{index:05d}.npz'


def part_of(index: int) -> slice:
    """Give the pairs of a part."""
    return slice(index * PART_PAIRS, (index + 1) * PART_PAIRS)


def embed_pairs(
    pairs: TestPairs, runners: Sequence[Runner], files: Mapping[str, EmbeddingFiles],
    advance: Callable[[int], None],
) -> None:
    """
    Embed the pairs with every runner, but for what an earlier run has left.

    Every picture is decoded once for all of them.

    :param files: of each runner, by its name.
    :param advance: told of the pairs that are done since the last call.
    """
    for index in range(-(-len(pairs) // PART_PAIRS)):
        missing = [runner for runner in runners if files[runner.name].find(index) is None]
        rows = pairs.rows[part_of(index)]
        if not missing:
            advance(len(rows))
            continue
        made = [_PartInMaking(runner) for runner in missing]
        for batch in _batches(pairs, rows, missing):
            for one in made:
                one.add(batch)
            advance(len(batch))
        for one in made:
            files[one.runner.name].write(index, one.part(pairs, index))


def _batches(
    pairs: TestPairs, rows: NDArray[np.int64], runners: Sequence[Runner]
) -> Iterator[Sequence[Loaded]]:
    """Load the pictures of some pairs while networks run; none if all embeddings are known."""
    preparers = {runner.key: runner.preparer() for runner in runners if runner.modalities}
    if not preparers:
        yield [Loaded() for _ in rows]
        return
    with prefetched(load_pairs(pairs, rows, preparers), _BATCHES_AHEAD) as batches:
        yield from batches


class _PartInMaking:
    """The embeddings of a part by one runner, batch by batch."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self._rows: dict[str, list[FloatArray]] = {name: [] for name in runner.modalities}
        self._problems: list[tuple[int, str, str]] = []
        self._count = 0

    def add(self, batch: Sequence[Loaded]) -> None:
        for modality, rows in self._rows.items():
            key: tuple[Any, str] = (self.runner.key, modality)
            have = [index for index, pair in enumerate(batch) if key in pair.inputs]
            embedded = np.full((len(batch), self.runner.dim), np.nan, np.float32)
            embedded[have] = self.runner.embed([batch[index].inputs[key] for index in have])
            rows.append(embedded)
        for index, pair in enumerate(batch, self._count):
            self._problems += [(index, what, why) for what, why in pair.problems.items()]
        self._count += len(batch)

    def part(self, pairs: TestPairs, index: int) -> Part:
        ids = pairs.ids[part_of(index)]
        rows = {name: np.concatenate(rows) for name, rows in self._rows.items()}
        return Part(
            {**rows, **self.runner.known(part_of(index))},
            tuple((ids[row], what, why) for row, what, why in self._problems),
        )
