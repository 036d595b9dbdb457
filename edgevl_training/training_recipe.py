# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The options that both stages of training share: how long, how fast, on what, from which seed."""

from __future__ import annotations

import os
from typing import Literal, TYPE_CHECKING

from edgevl_ros.core.frame import Modality
from edgevl_training.errors import RecipeError
from edgevl_training.recipe import Recipe
from pydantic import Field, model_validator

if TYPE_CHECKING:
    from accelerate import Accelerator
    from edgevl_training.training_plan import Training

ModalityNames = Literal['both', 'rgb', 'depth']
MODALITIES = {
    'both': (Modality.RGB, Modality.DEPTH),
    'rgb': (Modality.RGB,),
    'depth': (Modality.DEPTH,),
}
_MOST_THREADS = 16


class TrainingRecipe(Recipe):
    """
    Options of a stage's optimizer and of the machine.

    A stage says for itself how many epochs it takes, and how fast.
    """

    epochs: int
    learning_rate: float
    final_learning_rate: float | None
    weight_decay: float = Field(0.01, ge=0, le=10, description='of AdamW')
    batch_size: int = Field(
        64, ge=1, le=1_000_000,
        description='pairs in a step, of all processes and accumulated batches together',
    )
    accumulate: int = Field(
        1, ge=1, le=100_000, description='batches that a step is cut into, to save memory'
    )
    smallest_crop: float = Field(
        0.5, gt=0, le=1, description='least share of the area that a random crop keeps'
    )
    train_size: int | None = Field(
        None, ge=16, le=2048,
        description='side of the input while training (default: the one of the student); a '
        'smaller one is faster, and suits crops, in which things look larger than in the whole '
        'picture; for convolutional networks, which take any size',
    )
    choose: Literal['best', 'last'] = Field(
        'best', description='which epoch to keep: the one that gives validation pairs the most '
        'right pseudo-labels, or the last, with the lowest learning rate: better after few '
        'epochs, or with fewer than some hundred validation pairs',
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description='of crops, order and first weights')
    precision: Literal['no', 'fp16', 'bf16'] = Field(
        'no', description='mixed precision, on a GPU only'
    )
    device: Literal['auto', 'cpu', 'cuda'] = Field('auto', description='where to train')
    threads: int | None = Field(
        None, ge=1, le=256,
        description='threads of each process that decode pictures (default: 1 beside a student '
        f'on the CPU, else one for each core, {_MOST_THREADS} at most)',
    )

    @model_validator(mode='after')
    def _fits_together(self) -> TrainingRecipe:
        if problems := self.problems():
            raise ValueError('; '.join(problems))
        return self

    def problems(self) -> list[str]:
        """Say which options do not fit together."""
        problems = []
        if (self.final_learning_rate or 0) > self.learning_rate:
            problems.append(
                f'--final-learning-rate: expected at most --learning-rate {self.learning_rate:g}, '
                f'found {self.final_learning_rate:g}'
            )
        if self.batch_size % self.accumulate:
            problems.append(
                f'--batch-size: expected a multiple of --accumulate {self.accumulate}, found '
                f'{self.batch_size}'
            )
        return problems


def training_of(
    recipe: TrainingRecipe, accelerator: Accelerator, modalities: tuple[Modality, ...]
) -> Training:
    """
    Give what `Trainer` wants to know; the learning rate falls to a tenth unless told otherwise.

    :raises RecipeError: when the processes do not get the same number of pairs each.
    """
    from edgevl_training.training_plan import Training

    _check_batch_size(recipe, accelerator.num_processes)
    final = recipe.final_learning_rate
    return Training(
        recipe.epochs, recipe.learning_rate, recipe.learning_rate / 10 if final is None else final,
        recipe.weight_decay, recipe.batch_size, recipe.smallest_crop, recipe.accumulate,
        recipe.seed, recipe.threads or _default_threads(accelerator), modalities,
        recipe.train_size,
    )


def _check_batch_size(recipe: TrainingRecipe, processes: int) -> None:
    parts = recipe.accumulate * processes
    if recipe.batch_size % parts:
        raise RecipeError(
            f'--batch-size: expected a multiple of {parts} ({processes} processes, each '
            f'{recipe.accumulate} accumulated batches), found {recipe.batch_size}'
        )


def _default_threads(accelerator: Accelerator) -> int:
    """Give the threads that decode pictures in each process where nobody says how many."""
    if accelerator.device.type == 'cpu':
        return 1
    local_processes = int(os.environ.get('LOCAL_WORLD_SIZE', '1'))
    return min(max(1, len(os.sched_getaffinity(0)) // local_processes), _MOST_THREADS)
