# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Targets in which the student of stage 1 has a say beside the teacher.

A teacher may be wrong about one picture where it is right about most that look alike. The student
has learned from all of them, from both modalities at once, and cannot learn single errors by
heart in few epochs: what both say together is right more often than the teacher alone
(bootstrapping, Reed et al., ICLR workshop 2015; born-again networks, Furlanello et al., ICML
2018). No label takes part.
"""

from __future__ import annotations

from accelerate import Accelerator
from edgevl_ros.core.frame import Modality
from edgevl_ros.core.preprocess import PreprocessSpec
from edgevl_training.curated_split import CuratedSplit
from edgevl_training.curation.confidence import judge
from edgevl_training.progress import progress
from edgevl_training.pseudo_labels import read_superset
from edgevl_training.teachers.teacher import unit_rows
from edgevl_training.training_data import batches_of, BatchPlan
from edgevl_training.training_plan import Training
import numpy as np
from numpy.typing import NDArray
import torch
from torch import nn

_BATCH = 16

FloatArray = NDArray[np.float32]


def bootstrap(
    split: CuratedSplit, student: nn.Module, spec: PreprocessSpec, training: Training,
    weight: float, accelerator: Accelerator,
) -> float:
    """
    Give the pairs of a split new targets, pseudo-labels and confidences.

    The target is the unit sum of the teacher's embedding and ``weight`` times the student's own,
    which is the unit sum of its embeddings of the pair's modalities.

    :param student: of stage 1; it is not changed but for its device and mode.
    :param accelerator: of the processes that share the work.
    :returns: the share of the pairs that have another pseudo-label now.
    :raises DatasetError: when the superset is missing or damaged.
    """
    superset = read_superset(split.folder, [split])
    targets = _targets(student, split, spec, training, weight, accelerator)
    logit_scale = float(split.manifest['teacher']['logit_scale'])
    judged = judge(targets, superset.embeddings.numpy(), logit_scale)
    names = np.array(superset.labels)
    changed = names[judged.label] != np.array(split.label_names)[split.labels]
    split.retarget(targets, superset.labels, judged.label.astype(np.int64), judged.confidence)
    return float(changed.mean())


@torch.inference_mode()
def _targets(
    student: nn.Module, split: CuratedSplit, spec: PreprocessSpec, training: Training,
    weight: float, accelerator: Accelerator,
) -> FloatArray:
    """Ask about whole pictures of all pairs, each in one of the processes; unit rows (N, D)."""
    rows = torch.zeros(len(split), split.dim, device=accelerator.device)
    plan = BatchPlan(
        _BATCH * accelerator.num_processes, modalities=training.modalities,
        rank=accelerator.process_index, world=accelerator.num_processes, threads=training.threads,
    )
    student.eval().to(accelerator.device, memory_format=torch.channels_last)

    def embedded(pictures: FloatArray) -> FloatArray:
        if not len(pictures):
            return np.zeros((0, split.dim), np.float32)
        images = torch.from_numpy(pictures).to(rows.device, memory_format=torch.channels_last)
        found: FloatArray = student(images).float().cpu().numpy()
        return found

    with progress('asking the student of stage 1', len(split), 'pairs') as bar:
        for batch in batches_of(split, spec, plan):
            own = np.zeros_like(batch.teacher)
            if Modality.RGB in training.modalities:
                own += embedded(batch.rgb)
            own[batch.has_depth] += embedded(batch.depth[batch.has_depth])
            both = batch.teacher + np.float32(weight) * unit_rows(own)
            rows[torch.from_numpy(batch.rows)] = torch.from_numpy(both).to(rows.device)
            bar.advance(len(batch.rows) * accelerator.num_processes)
    return unit_rows(accelerator.reduce(rows).cpu().numpy())
