# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The choice of the epoch, by the pseudo-labels that the student gives to validation pairs.

Nearness to the teacher's embeddings alone would choose a student that has learned little: one
that gives every picture much the same embedding is near to all of them, and tells none apart. The
triplets of stage 2 may even lead away from the teacher. No true label takes part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgevl_training.curated_split import CuratedSplit
from edgevl_training.errors import DatasetError
from edgevl_training.training_measures import Choice, Features
import numpy as np
import torch
from torch import Tensor

SUPERSET = 'superset.npz'
PSEUDO_LABELS = 'pseudo_labels'


def choice_of(choose: str, data: Path, splits: Sequence[CuratedSplit]) -> Choice:
    """
    Say how the epoch is chosen, and measure right pseudo-labels in any case.

    :param choose: ``best`` for the most right pseudo-labels, among equals that nearest to the
        teacher; or ``last``.
    :param data: output folder of ``edgevl curate``; ``splits`` are those of it that are used.
    :raises DatasetError: when its superset is missing, damaged, or lacks a pseudo-label.
    """
    superset = read_superset(data, splits)
    by = ('epoch',) if choose == 'last' else (PSEUDO_LABELS, 'agreement')
    return Choice(by, {PSEUDO_LABELS: superset.hits})


@dataclass(frozen=True)
class Superset:
    """The phrases that ``edgevl curate`` chose pseudo-labels from: K of them, (K, D) unit rows."""

    labels: tuple[str, ...]
    embeddings: Tensor

    def hits(self, features: Features, names: Sequence[str]) -> Tensor:
        """
        Count pictures, and those that get their pair's pseudo-label, by modality: float64 (2, 2).

        :param names: what the labels of the features mean.
        """
        numbers = torch.tensor([self.labels.index(name) for name in names])
        wanted = numbers.to(features.labels.device)[features.labels]
        texts = self.embeddings.to(features.rgb)
        found = [
            [len(rows), int(((rows @ texts.T).argmax(1) == labels).sum()) if len(rows) else 0]
            for rows, labels in (
                (features.rgb, wanted[:len(features.rgb)]),
                (features.depth, wanted[features.has_depth]),
            )
        ]
        return torch.tensor(found, dtype=torch.float64, device=features.rgb.device)


def read_superset(data: Path, splits: Sequence[CuratedSplit]) -> Superset:
    """
    Read what pseudo-labels were chosen from.

    :raises DatasetError: when it is missing, damaged, or does not know a pseudo-label.
    """
    path = data / SUPERSET
    try:
        with np.load(path, allow_pickle=False) as file:
            labels = tuple(file['labels'].tolist())
            embeddings = np.asarray(file['embeddings'], np.float32)
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(
            f'{path}: expected the phrases that "edgevl curate" writes: {error}; make the data '
            'set anew'
        ) from error
    unknown = sorted({name for split in splits for name in split.label_names} - set(labels))
    if unknown or embeddings.shape != (len(labels), splits[0].dim):
        raise DatasetError(
            f'{path}: expected {splits[0].dim} numbers for each pseudo-label, found '
            f'{embeddings.shape} and none for {unknown[:8]}; make the data set anew'
        )
    return Superset(labels, torch.from_numpy(embeddings))
