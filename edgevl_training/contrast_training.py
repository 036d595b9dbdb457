# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What stage 2 trains with: its terms of the loss, and its choice of the epoch.

Semi-hard triplets on pseudo-labels pull pictures of one kind together and others apart (section
3.3 of the EdgeVL paper). That may lead away from the teacher's own embeddings, so nearness to them
no longer tells which epoch is best: the pseudo-labels of the validation pairs do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgevl_ros.core.frame import Modality
from edgevl_training.distill import distillation_terms
from edgevl_training.errors import DatasetError
from edgevl_training.losses import semi_hard_triplets
from edgevl_training.training_data import batches_of, CuratedSplit
from edgevl_training.training_loop import Features, Trainer
import numpy as np
import torch
from torch import distributed, Tensor
from torch.distributed.nn.functional import all_gather

SUPERSET = 'superset.npz'
# Logged beside the losses, and no part of them.
SHARE = 'triplet_share'

Mining = Literal['intra', 'cross']


@dataclass(frozen=True)
class Objective:
    """
    The terms of stage 2 by name, for `Trainer`; ``weights`` says how they are added.

    ``mining`` tells where an anchor finds its positive and negatives: among the pictures of its
    own modality, as published, or among those of both.
    """

    modalities: tuple[Modality, ...]
    triplets: bool
    distillation_weight: float
    mining: Mining = 'intra'
    margin: float = 0.3
    negatives: int = 3

    @property
    def weights(self) -> dict[str, float]:
        """Give the weight of every term."""
        distilled = dict.fromkeys(('rgb', 'depth'), self.distillation_weight)
        mined = dict.fromkeys(('triplet_rgb', 'triplet_depth', 'triplet_cross'), 1.0)
        return {**distilled, **mined, SHARE: 0.0}

    def __call__(self, features: Features) -> dict[str, Tensor]:
        """Compute the terms of a batch."""
        terms = {}
        if self.distillation_weight:
            terms.update(distillation_terms(features, self.modalities))
        if self.triplets:
            terms.update(self._triplet_terms(features))
        return terms

    def _triplet_terms(self, features: Features) -> dict[str, Tensor]:
        rows = _of_all_processes(features)
        kept = {modality.value: rows[modality.value] for modality in self.modalities}
        if self.mining == 'cross':
            every = [torch.cat(parts) for parts in zip(*kept.values())]
            kept = {'cross': (every[0], every[1])}
        found = {
            name: semi_hard_triplets(of, labels, self.margin, self.negatives)
            for name, (of, labels) in kept.items() if len(of)
        }
        # Without pictures of a modality in this batch its term is 0, and has the same name.
        nothing = features.teacher.new_zeros(())
        terms = {
            f'triplet_{name}': found[name].loss if name in found else nothing for name in kept
        }
        shares = [triplets.share for triplets in found.values()] or [nothing]
        return {**terms, SHARE: torch.stack(shares).mean()}


def _of_all_processes(features: Features) -> dict[str, tuple[Tensor, Tensor]]:
    """
    Give features and labels of every process, by modality.

    Each process computes the loss of the whole batch. The gradients of what it got from others go
    back to them, so the mean over processes is the gradient of one that has the batch to itself.
    """
    rgb, labels, has_depth = features.rgb, features.labels, features.has_depth
    # Of one length in all processes: zeros where a pair has no second picture.
    depth = torch.zeros_like(features.teacher).index_put((has_depth,), features.depth)
    if distributed.is_initialized() and distributed.get_world_size() > 1:
        rgb, depth = (torch.cat(all_gather(rows.contiguous())) for rows in (rgb, depth))
        labels, has_depth = (
            torch.cat(all_gather(rows.contiguous())) for rows in (labels, has_depth.long())
        )
        has_depth = has_depth.bool()
    return {
        'rgb': (rgb, labels[:len(rgb)]),
        'depth': (depth[has_depth], labels[has_depth]),
    }


class ContrastTrainer(Trainer):
    """A `Trainer` that chooses the epoch by the pseudo-labels of the validation pairs."""

    superset: Superset

    @property
    def best(self) -> dict[str, Any]:
        """Give the metrics of the epoch with the most pseudo-labels; then of most agreement."""
        return max(
            self.epochs, key=lambda epoch: (epoch['pseudo_labels'], epoch['agreement'])
        )

    def measure(self, validation: CuratedSplit) -> None:
        """Take the student as it is for the only epoch, number 0."""
        self.epochs = [{'epoch': 0, **self.validate(validation), 'seconds': 0.0}]

    @torch.inference_mode()
    def validate(self, split: CuratedSplit) -> dict[str, float]:
        """
        Measure what `Trainer` does, and pseudo-labels: on whole pictures, without true labels.

        :returns: also the share of pictures of each modality that the student, among all phrases
            of the superset, gives the pseudo-label of their pair; ``pseudo_labels`` is the mean.
        """
        measured = super().validate(split)
        student = self._student.eval()
        sums = torch.zeros(2, 2, dtype=torch.float64, device=self._accelerator.device)
        for batch in batches_of(split, self._spec, self._plan(training=False)):
            if len(batch.rows):
                features = self._features(student, batch)
                sums += self.superset.hits(features, split.label_names)
        hits = {
            name: right / count
            for name, (count, right) in zip(
                ('rgb', 'depth'), self._accelerator.reduce(sums).tolist())
            if count
        }
        named = {f'pseudo_labels_{name}': share for name, share in hits.items()}
        return {**measured, **named, 'pseudo_labels': sum(hits.values()) / max(1, len(hits))}


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
