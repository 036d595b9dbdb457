# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What stage 2 trains with: the terms of its loss.

Semi-hard triplets on pseudo-labels pull pictures of one kind together and others apart (section
3.3 of the EdgeVL paper); distillation holds them near the words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgevl_ros.core.frame import Modality
from edgevl_training.curated_split import UNSURE
from edgevl_training.distill import distillation_terms
from edgevl_training.losses import semi_hard_triplets
from edgevl_training.training_measures import Features
import torch
from torch import distributed, Tensor
from torch.distributed.nn.functional import all_gather

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
        how = (self.margin, self.negatives)
        rows = _of_all_processes(features)
        kept = {modality.value: rows[modality.value] for modality in self.modalities}
        if self.mining == 'cross':
            every = [torch.cat(parts) for parts in zip(*kept.values())]
            kept = {'cross': (every[0], every[1])}
        found = {
            name: semi_hard_triplets(of[labels != UNSURE], labels[labels != UNSURE], *how)
            for name, (of, labels) in kept.items() if (labels != UNSURE).any()
        }
        # Without pictures of a modality to contrast its term is 0, and has the same name.
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
