# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The verb ``contrast``: stage 2 of EdgeVL, an INT8 student that tells kinds of places apart.

The student of stage 1 gets INT8 rounding, calibrated on training pairs, and learns on with it:
near to the teacher as before, and with semi-hard triplets on pseudo-labels (Cai et al., ECCV 2024,
section 3.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
import os
from pathlib import Path
from typing import Any, Literal, TYPE_CHECKING

from edgevl_ros.core.files import sha256_of
from edgevl_ros.core.frame import Modality
from edgevl_ros.core.preprocess import PreprocessSpec
from edgevl_training import distill
from edgevl_training.errors import DatasetError
from edgevl_training.output import MANIFEST, OutputFolder, read_manifest, write_text
from edgevl_training.recipe import parse, Recipe
from pydantic import Field, model_validator

if TYPE_CHECKING:
    from accelerate import Accelerator
    from edgevl_training.contrast_training import ContrastTrainer, Objective
    from edgevl_training.students.student import Student
    from edgevl_training.training_data import CuratedSplit
    from edgevl_training.training_loop import Training
    from torch import Tensor

# What does not change the result, or is written down as a hash of its content.
_NOT_PURPOSE = {'data', 'out', 'student', 'device', 'threads'}
_CALIBRATION_BATCH = 16


class ContrastRecipe(Recipe):
    """
    Stage 2: make the student INT8, and teach it to tell pseudo-labels apart.

    Run it under torchrun or "accelerate launch" to use several GPUs or machines:
    torchrun --nproc-per-node 4 -m edgevl_training.cli contrast ...
    """

    data: Path = Field(description='output folder of edgevl curate')
    student: Path = Field(description='output folder of edgevl distill')
    out: Path = Field(description='folder to write to')
    loss: Literal['both', 'distillation', 'triplets'] = Field(
        'both', description='distillation alone is quantization-aware training, an ablation of '
        'the paper',
    )
    ptq: bool = Field(
        False, description='only calibrate, train nothing: an ablation of the paper'
    )
    mining: Literal['intra', 'cross'] = Field(
        'intra', description='where to look for positives and negatives: in the modality of the '
        'anchor, as published, or in both',
    )
    margin: float = Field(0.3, gt=0, le=2, description='of the triplets, in Euclidean distance')
    negatives: int = Field(3, ge=1, le=1000, description='most semi-hard negatives of an anchor')
    distillation_weight: float | None = Field(
        None, gt=0, le=1000,
        description="of the distillation beside the triplets' 1 (default: 1 / sqrt(D), D the "
        "teacher's dimension: the gradient of an L1 distance is sqrt(D) long, that of a triplet "
        'about 1, so both pull alike)',
    )
    weight_bits: Literal['7', '8'] = Field(
        '7', description='of weights in matrix products; with 8, sums overflow on x86 CPUs '
        'without VNNI',
    )
    calibration: Literal['mse', 'max', 'percentile'] = Field(
        'mse', description='what decides the range of an activation: the least squared error, '
        'its largest value, or all but 1 value in 10,000',
    )
    calibration_pairs: int = Field(
        256, ge=1, le=1_000_000, description='training pairs to calibrate with, at random'
    )
    epochs: int = Field(20, ge=1, le=100_000, description='passes over the training pairs')
    learning_rate: float = Field(
        1e-6, gt=0, le=10, description='of AdamW at the beginning; falls along a cosine'
    )
    final_learning_rate: float | None = Field(
        None, ge=0, le=10, description='at the end (default: a tenth of --learning-rate)'
    )
    weight_decay: float = Field(0.01, ge=0, le=10, description='of AdamW')
    batch_size: int = Field(
        64, ge=1, le=1_000_000,
        description='pairs in a step, of all processes and accumulated batches together; '
        'triplets are found within an accumulated batch',
    )
    accumulate: int = Field(
        1, ge=1, le=100_000, description='batches that a step is cut into, to save memory'
    )
    smallest_crop: float = Field(
        0.5, gt=0, le=1, description='least share of the area that a random crop keeps'
    )
    precision: Literal['no', 'fp16', 'bf16'] = Field(
        'no', description='mixed precision, on a GPU only'
    )
    device: Literal['auto', 'cpu', 'cuda'] = Field('auto', description='where to train')
    threads: int | None = Field(
        None, ge=1, le=256,
        description='threads of each process that decode pictures (default: 1 beside a student '
        'on the CPU, else one for each core)',
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description='of crops and order')

    @model_validator(mode='after')
    def _fits_together(self) -> ContrastRecipe:
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
        if self.distillation_weight is not None and self.loss == 'triplets':
            problems.append('--distillation-weight: expected none with --loss triplets')
        if problems:
            raise ValueError('; '.join(problems))
        return self


def run(arguments: list[str]) -> int:
    """Make the student INT8 and contrast."""
    from edgevl_training.cli import VERBS

    recipe = parse(ContrastRecipe, 'contrast', arguments, list(VERBS))
    _check_fits(recipe)
    purpose = {
        # The folders may be moved; what they hold is in their manifests.
        'recipe': recipe.model_dump(mode='json', exclude=_NOT_PURPOSE),
        'data': {'manifest_sha256': sha256_of(recipe.data / MANIFEST)},
        'stage1': {'manifest_sha256': sha256_of(recipe.student / MANIFEST)},
    }
    from edgevl_training.training_loop import joined_processes

    with joined_processes(recipe.device, recipe.precision, recipe.accumulate) as accelerator:
        if not accelerator.is_main_process:
            if not distill.told(None):
                _contrast(recipe, accelerator)
            return 0
        with OutputFolder(recipe.out, 'contrast', purpose) as output:
            if distill.told(output.finished):
                print(f'{recipe.out}: finished earlier, nothing to do')
            else:
                output.finish({**_contrast(recipe, accelerator), 'paths': _paths(recipe)})
            distill.drop_checkpoints(recipe.out)
    return _summarise(recipe.out)


def _check_fits(recipe: ContrastRecipe) -> None:
    """
    Compare the folders.

    :raises DatasetError: when data and student are of two teachers or second modalities.
    """
    data, stage1 = read_manifest(recipe.data, 'curate'), read_manifest(recipe.student, 'distill')
    for key in ('teacher', 'second_modality'):
        if data.get(key) != stage1.get(key):
            raise DatasetError(
                f'{recipe.student}: expected a student for the same {key.replace("_", " ")} as '
                f'in {recipe.data}, {data.get(key)}, found {stage1.get(key)}'
            )


def _contrast(recipe: ContrastRecipe, accelerator: Accelerator) -> dict[str, Any]:
    """Calibrate and train in all processes; give what belongs into the manifest."""
    from edgevl_training.contrast_training import ContrastTrainer, read_superset
    from edgevl_training.training_data import CuratedSplit

    stage1 = read_manifest(recipe.student, 'distill')
    modalities = distill.MODALITIES[stage1['recipe']['modalities']]
    train = CuratedSplit(recipe.data, 'train', modalities)
    validation = CuratedSplit(recipe.data, 'validation', modalities)
    superset = read_superset(recipe.data, [train, validation])
    training = _training(recipe, accelerator, modalities)
    text = (recipe.student / distill.PREPROCESS).read_text(encoding='utf-8')
    spec = PreprocessSpec.from_yaml(text)
    student = _quantized(recipe, train, spec, training)
    if accelerator.is_main_process:
        write_text(recipe.out / distill.PREPROCESS, text)
        print(
            f'{student.name}, INT8: {len(train)} pairs to train on, {len(validation)} to choose '
            f'the epoch by, on {accelerator.num_processes} x {accelerator.device.type}',
            flush=True,
        )
    objective = _objective(recipe, modalities, train.dim)
    trainer = ContrastTrainer(
        accelerator, student, objective, objective.weights, spec, training, recipe.out
    )
    trainer.superset = superset
    if recipe.ptq:
        trainer.measure(validation)
    else:
        trainer.fit(train, validation)
    if not accelerator.is_main_process:
        return {}
    return _conclude(recipe, student, spec, trainer, train, validation)


def _training(
    recipe: ContrastRecipe, accelerator: Accelerator, modalities: tuple[Modality, ...]
) -> Training:
    from edgevl_training.training_loop import Training

    distill.check_batch_size(recipe.batch_size, recipe.accumulate, accelerator.num_processes)
    final = recipe.final_learning_rate
    return Training(
        recipe.epochs, recipe.learning_rate,
        recipe.learning_rate / 10 if final is None else final, recipe.weight_decay,
        recipe.batch_size, recipe.smallest_crop, recipe.accumulate, recipe.seed,
        recipe.threads or distill.default_threads(accelerator), modalities,
    )


def _objective(
    recipe: ContrastRecipe, modalities: tuple[Modality, ...], dim: int
) -> Objective:
    from edgevl_training.contrast_training import Objective

    weight = 0.0 if recipe.loss == 'triplets' else recipe.distillation_weight or dim ** -0.5
    return Objective(
        modalities, recipe.loss != 'distillation', weight, recipe.mining, recipe.margin,
        recipe.negatives,
    )


def _quantized(
    recipe: ContrastRecipe, train: CuratedSplit, spec: PreprocessSpec, training: Training
) -> Student:
    """Put INT8 rounding into the student of stage 1, and calibrate unless a checkpoint has it."""
    from edgevl_training.fake_quant import calibrate, insert_quantizers
    from edgevl_training.students.student import load_student
    from edgevl_training.training_loop import LATEST

    student = insert_quantizers(
        load_student(recipe.student / distill.STUDENT), int(recipe.weight_bits)
    )
    if not (recipe.out / LATEST).is_file():
        pictures = _calibration_pictures(recipe, train, spec, training)
        calibrate(student, pictures, recipe.calibration)
    return student


def _calibration_pictures(
    recipe: ContrastRecipe, train: CuratedSplit, spec: PreprocessSpec, training: Training
) -> Iterator[Tensor]:
    """Give whole pictures of both modalities of random training pairs, in batches."""
    from edgevl_training.training_data import batches_of, BatchPlan
    import numpy as np
    import torch

    size = min(_CALIBRATION_BATCH, recipe.calibration_pairs, len(train))
    # Crops of all of a picture: only the order is random.
    plan = BatchPlan(size, recipe.seed, 1.0, training.modalities, threads=training.threads)
    for batch in islice(batches_of(train, spec, plan), -(-recipe.calibration_pairs // size)):
        parts = [batch.rgb] if Modality.RGB in training.modalities else []
        yield torch.from_numpy(np.concatenate([*parts, batch.depth[batch.has_depth]]))


def _conclude(
    recipe: ContrastRecipe, student: Student, spec: PreprocessSpec, trainer: ContrastTrainer,
    train: CuratedSplit, validation: CuratedSplit,
) -> dict[str, Any]:
    """Write the best student and the curves; give what belongs into the manifest."""
    from edgevl_training import checkpoint
    from edgevl_training.fake_quant import save_quantized
    from edgevl_training.training_log import CURVES, draw_curves, METRICS, TrainingLog
    from edgevl_training.training_loop import BEST

    if recipe.ptq:
        with TrainingLog(recipe.out, trainer.epochs):
            pass
    else:
        checkpoint.load(recipe.out / BEST, student)
    save_quantized(student, recipe.out / distill.STUDENT)
    names = {'rgb': 'colour', 'depth': train.modality.name}
    draw_curves(recipe.out / CURVES, trainer.epochs, trainer.best['epoch'], names)
    files = (distill.STUDENT, distill.PREPROCESS, METRICS, CURVES)
    return {
        'teacher': train.manifest['teacher'],
        'second_modality': train.manifest.get('second_modality'),
        'student': {
            'name': student.name,
            'parameters': distill.parameters_of(student),
            'image_size': student.image_size,
            'dim': student.dim,
        },
        'modalities': read_manifest(recipe.student, 'distill')['recipe']['modalities'],
        'preprocess': spec.to_yaml(),
        'counts': {'train': len(train), 'validation': len(validation)},
        'best': trainer.best,
        'last': trainer.epochs[-1],
        'seconds': round(sum(epoch['seconds'] for epoch in trainer.epochs), 1),
        'files': [{'name': name, 'sha256': sha256_of(recipe.out / name)} for name in files],
    }


def _paths(recipe: ContrastRecipe) -> dict[str, str]:
    return {
        name: os.path.relpath(getattr(recipe, name), recipe.out) for name in ('data', 'student')
    }


def _summarise(out: Path) -> int:
    """Print what came out; give the exit status."""
    manifest = read_manifest(out, 'contrast')
    best, last, student = (manifest[name] for name in ('best', 'last', 'student'))
    shares = ', '.join(
        f'{name.removeprefix("pseudo_labels_")} {value:.1%}'
        for name, value in best.items() if name.startswith('pseudo_labels_')
    )
    print(
        f'{out}: {student["name"]}, INT8, {student["image_size"]} px\n'
        f'{last["epoch"]} epochs in {timedelta(seconds=round(manifest["seconds"]))}; chosen: '
        f'epoch {best["epoch"]}, pseudo-labels met on validation pairs: {shares}; cosine with '
        f'the teacher {best["agreement"]:.3f}\n'
        f'student: {out / distill.STUDENT}, curves: {out / "curves.png"}'
    )
    return 0
