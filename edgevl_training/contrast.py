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
from pathlib import Path
from typing import Any, Literal, TYPE_CHECKING

from edgevl_ros.core.files import sha256_of
from edgevl_ros.core.frame import Modality
from edgevl_ros.core.preprocess import PreprocessSpec
from edgevl_training.errors import DatasetError
from edgevl_training.output import MANIFEST, read_manifest, write_text
from edgevl_training.recipe import parse, Recipe
from edgevl_training.training_recipe import (
    MODALITIES,
    ModalityNames,
    training_of,
    TrainingRecipe,
)
from edgevl_training.training_stage import (
    learned_by,
    NOT_PURPOSE,
    outcome,
    PREPROCESS,
    run_stage,
    STUDENT,
)
from pydantic import Field

if TYPE_CHECKING:
    from accelerate import Accelerator
    from edgevl_training.contrast_training import Objective
    from edgevl_training.curated_split import CuratedSplit
    from edgevl_training.students.student import Student
    from edgevl_training.training_plan import Training
    from torch import Tensor

_CALIBRATION_BATCH = 16
# What calibrating alone depends on: training may be asked otherwise without changing it.
_OF_CALIBRATION = {
    'ptq', 'modalities', 'weight_bits', 'calibration', 'calibration_pairs',
    'calibration_modalities', 'seed',
}


class _Int8Options(Recipe):
    """The options of stage 2 alone; `ContrastRecipe` puts those of all training behind them."""

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
    modalities: ModalityNames | None = Field(
        None, description='what to calibrate and train on (default: what the student was '
        'distilled on)',
    )
    mining: Literal['intra', 'cross'] = Field(
        'intra', description='where to look for positives and negatives, within a batch: in the '
        'modality of the anchor, as published, or in both',
    )
    margin: float = Field(0.3, gt=0, le=2, description='of the triplets, in Euclidean distance')
    negatives: int = Field(3, ge=1, le=1000, description='most semi-hard negatives of an anchor')
    triplet_fraction: float = Field(
        1.0, gt=0, le=1, description='share of the training pairs that the triplets are made of, '
        "those with the teacher's most confident pseudo-labels; the others are distilled only",
    )
    bootstrap: float = Field(
        0.0, ge=0, le=100, description='weight of what the student of stage 1 says of a training '
        "pair beside the teacher's 1, in the target and the pseudo-label; 0 as published",
    )
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
    calibration_modalities: ModalityNames | None = Field(
        None, description='what to calibrate on (default: what is trained on)'
    )
    activation_scales: Literal['fixed', 'learned'] = Field(
        'fixed', description='how calibrated scales of activations go on: as they are, or trained '
        'along as learned step sizes (LSQ)',
    )


class ContrastRecipe(TrainingRecipe, _Int8Options):
    """
    Stage 2: make the student INT8, and teach it to tell pseudo-labels apart.

    Run it under torchrun or "accelerate launch" to use several GPUs or machines:
    torchrun --nproc-per-node 4 -m edgevl_training.cli contrast ...
    """

    epochs: int = Field(20, ge=1, le=100_000, description='passes over the training pairs')
    learning_rate: float = Field(
        1e-6, gt=0, le=10, description='of AdamW at the beginning; falls along a cosine'
    )
    final_learning_rate: float | None = Field(
        None, ge=0, le=10, description='at the end (default: a tenth of --learning-rate)'
    )

    def problems(self) -> list[str]:
        """Say which options do not fit together."""
        problems = super().problems()
        if self.distillation_weight is not None and self.loss == 'triplets':
            problems.append('--distillation-weight: expected none with --loss triplets')
        if self.ptq and self.activation_scales == 'learned':
            problems.append('--activation-scales: expected fixed with --ptq, found learned')
        return problems


def run(arguments: list[str]) -> int:
    """Make the student INT8 and contrast."""
    from edgevl_training.cli import VERBS

    recipe = parse(ContrastRecipe, 'contrast', arguments, list(VERBS))
    _check_fits(recipe)
    first = run_stage(recipe, 'contrast', purpose_of(recipe), ('data', 'student'), _contrast)
    return _summarise(recipe.out) if first else 0


def purpose_of(recipe: ContrastRecipe) -> dict[str, Any]:
    """Give all that decides the result, as the manifest will hold it."""
    if recipe.modalities == _learned(recipe):
        # To name what is taken anyhow asks for nothing else.
        recipe = recipe.model_copy(update={'modalities': None})
    return {
        # The folders may be moved; what they hold is in their manifests.
        'recipe': recipe.model_dump(
            mode='json', exclude={*NOT_PURPOSE, 'student'},
            include=_OF_CALIBRATION if recipe.ptq else None,
        ),
        'data': {'manifest_sha256': sha256_of(recipe.data / MANIFEST)},
        'stage1': {'manifest_sha256': sha256_of(recipe.student / MANIFEST)},
    }


def _check_fits(recipe: ContrastRecipe) -> None:
    """
    Compare the folders.

    :raises DatasetError: when data and student are of two teachers or second modalities, or the
        student is to have a say about a modality that it has not learned.
    """
    data, stage1 = read_manifest(recipe.data, 'curate'), read_manifest(recipe.student, 'distill')
    for key in ('teacher', 'second_modality'):
        if data.get(key) != stage1.get(key):
            raise DatasetError(
                f'{recipe.student}: expected a student for the same {key.replace("_", " ")} as '
                f'in {recipe.data}, {data.get(key)}, found {stage1.get(key)}'
            )
    learned, wanted = _learned(recipe), _modalities(recipe)
    if recipe.bootstrap and not recipe.ptq and learned not in ('both', wanted):
        raise DatasetError(
            f'--bootstrap: expected a student that was distilled on {wanted}, found one of '
            f'{learned} in {recipe.student}; give --bootstrap 0, or --modalities {learned}'
        )


def _contrast(recipe: ContrastRecipe, accelerator: Accelerator) -> dict[str, Any]:
    """Calibrate and train in all processes; give what belongs into the manifest."""
    from edgevl_training.curated_split import CuratedSplit
    from edgevl_training.fake_quant import save_quantized
    from edgevl_training.learned_scales import with_fixed_scales
    from edgevl_training.pseudo_labels import choice_of
    from edgevl_training.training_loop import Trainer

    modalities = MODALITIES[_modalities(recipe)]
    train = CuratedSplit(recipe.data, 'train', modalities)
    validation = CuratedSplit(recipe.data, 'validation', modalities)
    choice = choice_of(recipe.choose, recipe.data, [train, validation])
    training = training_of(recipe, accelerator, modalities)
    text = (recipe.student / PREPROCESS).read_text(encoding='utf-8')
    spec = PreprocessSpec.from_yaml(text)
    student = _quantized(recipe, train, spec, training)
    if accelerator.is_main_process:
        write_text(recipe.out / PREPROCESS, text)
        print(
            f'{student.name}, INT8: {len(train)} pairs to train on, {len(validation)} to choose '
            f'the epoch by, on {accelerator.num_processes} x {accelerator.device.type}',
            flush=True,
        )
    if recipe.bootstrap and not recipe.ptq:
        _bootstrap(recipe, train, spec, training, accelerator)
    train.keep_labels(recipe.triplet_fraction)
    objective = _objective(recipe, modalities, train.dim)
    trainer = Trainer(
        accelerator, student, objective, objective.weights, spec, training, recipe.out, choice
    )
    if recipe.ptq:
        trainer.measure(validation)
    else:
        trainer.fit(train, validation)
        trainer.take_best()
    if not accelerator.is_main_process:
        return {}
    save_quantized(with_fixed_scales(student), recipe.out / STUDENT)
    return {
        **outcome(recipe.out, student, spec, trainer, train, validation),
        'modalities': _modalities(recipe),
    }


def _bootstrap(
    recipe: ContrastRecipe, train: CuratedSplit, spec: PreprocessSpec, training: Training,
    accelerator: Accelerator,
) -> None:
    """Let the student of stage 1 have a say in the targets; after a kill it says the same."""
    from edgevl_training.bootstrapping import bootstrap
    from edgevl_training.students.student import load_student

    student = load_student(recipe.student / STUDENT)
    changed = bootstrap(train, student, spec, training, recipe.bootstrap, accelerator)
    if accelerator.is_main_process:
        print(f'the student of stage 1 has changed {changed:.0%} of the pseudo-labels', flush=True)


def _modalities(recipe: ContrastRecipe) -> str:
    return recipe.modalities or _learned(recipe)


def _learned(recipe: ContrastRecipe) -> str:
    """Give what the student was distilled on."""
    return learned_by(read_manifest(recipe.student, 'distill'))


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
    from edgevl_training.learned_scales import with_learned_scales
    from edgevl_training.students.student import load_student
    from edgevl_training.training_loop import LATEST

    student = insert_quantizers(
        load_student(recipe.student / STUDENT), int(recipe.weight_bits)
    )
    if not (recipe.out / LATEST).is_file():
        pictures = _calibration_pictures(recipe, train, spec, training)
        calibrate(student, pictures, recipe.calibration)
    return with_learned_scales(student) if recipe.activation_scales == 'learned' else student


def _calibration_pictures(
    recipe: ContrastRecipe, train: CuratedSplit, spec: PreprocessSpec, training: Training
) -> Iterator[Tensor]:
    """Give whole pictures of random training pairs, in batches."""
    from edgevl_training.curated_split import CuratedSplit
    from edgevl_training.training_data import batches_of, BatchPlan
    import numpy as np
    import torch

    modalities = training.modalities
    if recipe.calibration_modalities is not None:
        modalities = MODALITIES[recipe.calibration_modalities]
        train = CuratedSplit(recipe.data, 'train', modalities)
    size = min(_CALIBRATION_BATCH, recipe.calibration_pairs, len(train))
    # Crops of all of a picture: only the order is random.
    plan = BatchPlan(size, recipe.seed, 1.0, modalities, threads=training.threads)
    for batch in islice(batches_of(train, spec, plan), -(-recipe.calibration_pairs // size)):
        parts = [batch.rgb] if Modality.RGB in modalities else []
        yield torch.from_numpy(np.concatenate([*parts, batch.depth[batch.has_depth]]))


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
        f'student: {out / STUDENT}, curves: {out / "curves.png"}'
    )
    return 0
