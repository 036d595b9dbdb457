# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The verb ``distill``: stage 1 of EdgeVL, one student that embeds both modalities as the teacher.

The teacher embeds colour only, and does not run here unless it is asked to: its embeddings lie
beside the pairs. The student learns to give the same embedding for the colour picture and for the
second picture of a pair (Cai et al., ECCV 2024, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, TYPE_CHECKING

from edgevl_ros.core.files import sha256_of
from edgevl_ros.core.frame import Modality
from edgevl_ros.core.preprocess import ColorSpec, DepthSpec, PreprocessSpec, ResizeSpec
from edgevl_training.dataset import SecondModality
from edgevl_training.errors import RecipeError
from edgevl_training.output import MANIFEST, read_manifest, write_text
from edgevl_training.recipe import parse, Recipe
from edgevl_training.training_recipe import (
    MODALITIES,
    ModalityNames,
    training_of,
    TrainingRecipe,
)
from edgevl_training.training_stage import (
    NOT_PURPOSE,
    outcome,
    parameters_of,
    PREPROCESS,
    run_stage,
    STUDENT,
)
from pydantic import Field

if TYPE_CHECKING:
    from accelerate import Accelerator
    from edgevl_training.students.student import Student
    from edgevl_training.training_measures import Features
    from torch import Tensor

_DEPTH_RANGE_M = (0.0, 10.0)


class _StudentOptions(Recipe):
    """The options of stage 1 alone; `DistillRecipe` puts those of all training behind them."""

    data: Path = Field(description='output folder of edgevl curate')
    out: Path = Field(description='folder to write to')
    student: str = Field(
        'efficientnet_lite0',
        description='efficientnet_lite0, vit_s, swin_t, dat_t, or timm:NAME for any network of '
        'timm',
    )
    weights: str = Field(
        'imagenet',
        description='to begin with: imagenet, none (random), or a file of weights '
        '(.safetensors or .pth)',
    )
    image_size: int | None = Field(
        None, ge=16, le=2048,
        description='side of the square input (default: the one its ImageNet weights had)',
    )
    resize: Literal['squash', 'shortest_side'] = Field(
        'squash', description='how a picture becomes square: as a whole, or its central square'
    )
    near: float | None = Field(
        None, ge=0, allow_inf_nan=False,
        description='what becomes 0: metres for depth, else a share of full scale (default: 0)',
    )
    far: float | None = Field(
        None, gt=0, allow_inf_nan=False,
        description='what becomes 1 (default: 10 metres for depth, else full scale)',
    )
    modalities: ModalityNames = Field(
        'both', description='what to train on; one alone is an ablation of the paper'
    )
    teacher: str | None = Field(
        None, description='the teacher of the data set, by its name for edgevl teach, to run on '
        'every random crop; what it says of that is distilled; slow. Wants pairs that were taught '
        'from whole pictures and curated with --agree-seconds 0 and --center 0 (default: none '
        'runs, what it has said of the whole picture counts)',
    )


class DistillRecipe(TrainingRecipe, _StudentOptions):
    """
    Stage 1: teach one student to embed colour and depth where the teacher embeds colour.

    Run it under torchrun or "accelerate launch" to use several GPUs or machines:
    torchrun --nproc-per-node 4 -m edgevl_training.cli distill ...
    """

    epochs: int = Field(
        120, ge=0, le=100_000,
        description='passes over the training pairs; 0 gives the student as it begins',
    )
    learning_rate: float = Field(
        1e-4, gt=0, le=10, description='of AdamW at the beginning; falls along a cosine'
    )
    final_learning_rate: float = Field(5e-6, ge=0, le=10, description='at the end')

    def problems(self) -> list[str]:
        """Say which options do not fit together."""
        problems = super().problems()
        if self.near is not None and self.far is not None and self.near >= self.far:
            problems.append(f'--near: expected less than --far {self.far:g}, found {self.near:g}')
        return problems


def run(arguments: list[str]) -> int:
    """Distil."""
    from edgevl_training.cli import VERBS

    recipe = parse(DistillRecipe, 'distill', arguments, list(VERBS))
    first = run_stage(recipe, 'distill', purpose_of(recipe), ('data',), _distil)
    return _summarise(recipe.out) if first else 0


def check_student(recipe: DistillRecipe) -> None:
    """
    See before any work that there is such a student, and that it trains on images of that size.

    :raises EdgeVLError: naming what does not go together.
    """
    from edgevl_training.students.backbones import check_weights
    from edgevl_training.students.student import open_student
    from edgevl_training.training_plan import training_spec

    _weights_identity(recipe.weights)
    check_weights(recipe.student, recipe.weights)
    student = open_student(recipe.student, 2, weights=None, image_size=recipe.image_size)
    spec = preprocess_of(student.color, student.image_size, SecondModality(), recipe.resize)
    training_spec(student, spec, recipe.train_size)


def purpose_of(recipe: DistillRecipe) -> dict[str, Any]:
    """Give all that decides the result, as the manifest will hold it."""
    return {
        # The folders may be moved; what they hold is in their manifests.
        'recipe': recipe.model_dump(mode='json', exclude={*NOT_PURPOSE, 'weights', 'teacher'}),
        'data': {'manifest_sha256': _identity(recipe.data)},
        'weights': _weights_identity(recipe.weights),
        'crop_teacher': None if recipe.teacher is None else _teacher_identity(recipe.teacher),
    }


def preprocess_of(
    color: ColorSpec, image_size: int, second: SecondModality, resize: str,
    near: float | None = None, far: float | None = None,
) -> PreprocessSpec:
    """
    Settle the pixels that a student sees, in training and on the robot.

    :param near: what becomes 0, metres for depth, else a share of full scale; ``far`` becomes 1.
    :raises RecipeError: when near is not nearer than far.
    """
    least, most = _DEPTH_RANGE_M if second.name == 'depth' else (0.0, 1.0)
    try:
        depth = DepthSpec(
            near_m=least if near is None else near, far_m=most if far is None else far,
            missing=0.0, mean=0.5, std=0.5,
        )
    except ValueError as error:
        raise RecipeError(f'--near, --far: {error}') from error
    return PreprocessSpec(image_size, ResizeSpec(resize, image_size), color, depth)


def _distil(recipe: DistillRecipe, accelerator: Accelerator) -> dict[str, Any]:
    """Train in all processes; give what belongs into the manifest."""
    from edgevl_training.curated_split import CuratedSplit
    from edgevl_training.pseudo_labels import choice_of
    from edgevl_training.students.student import save_student
    from edgevl_training.teaching.crop_teacher import open_crop_teacher
    from edgevl_training.training_loop import Trainer

    train = CuratedSplit(recipe.data, 'train', MODALITIES[recipe.modalities])
    learned = recipe.modalities if train.has_depth.any() else 'rgb'
    modalities = MODALITIES[learned]
    training = training_of(recipe, accelerator, modalities)
    validation = CuratedSplit(recipe.data, 'validation', modalities)
    student = _begin(recipe, train.dim)
    if recipe.teacher is not None and recipe.epochs:
        training = replace(training, crop_teacher=open_crop_teacher(
            recipe.teacher, accelerator.device.type, recipe.data, train.manifest
        ))
    spec = preprocess_of(
        student.color, student.image_size, train.modality, recipe.resize, recipe.near, recipe.far
    )
    trainer = Trainer(
        accelerator, student, partial(distillation_terms, modalities=modalities),
        {modality.value: 1.0 for modality in modalities}, spec, training, recipe.out,
        choice_of(recipe.choose, recipe.data, [train, validation]),
    )
    if accelerator.is_main_process:
        write_text(recipe.out / PREPROCESS, spec.to_yaml())
        print(
            f'{recipe.student}, {parameters_of(student) / 1e6:.1f} million parameters, '
            f'{spec.input_size} px: {len(train)} pairs to train on, {len(validation)} to choose '
            f'the epoch by, on {accelerator.num_processes} x {accelerator.device.type}',
            flush=True,
        )
        if learned != recipe.modalities:
            print(f'no pair has a {train.modality.name} picture: it learns colour alone')
    if recipe.epochs:
        trainer.fit(train, validation)
        trainer.take_best()
    else:
        trainer.measure(validation)
    if not accelerator.is_main_process:
        return {}
    save_student(student, recipe.out / STUDENT)
    return {
        **outcome(recipe.out, student, spec, trainer, train, validation), 'modalities': learned,
    }


def distillation_terms(
    features: Features, modalities: Sequence[Modality]
) -> dict[str, Tensor]:
    """Give the L1 loss of each modality that is trained on (section 3.2 of the paper)."""
    from edgevl_training.losses import distillation

    terms = {}
    if Modality.RGB in modalities:
        terms['rgb'] = distillation(features.rgb, features.teacher)
    if Modality.DEPTH in modalities:
        of_depth = distillation(features.depth, features.teacher[features.has_depth])
        terms['depth'] = features.depth_weight * of_depth
    return terms


def _begin(recipe: DistillRecipe, dim: int) -> Student:
    """Build the student; its random weights come from the seed."""
    from edgevl_training.students.student import open_student
    import torch

    torch.manual_seed(recipe.seed)
    weights = _weights_file(recipe.weights)
    named = None if recipe.weights == 'none' else recipe.weights
    return open_student(
        recipe.student, dim, weights=weights or named, image_size=recipe.image_size
    )


def _identity(data: Path) -> str:
    read_manifest(data, 'curate')
    return sha256_of(data / MANIFEST)


def _teacher_identity(name: str) -> str:
    from edgevl_training.teachers.teacher import choose_teacher

    return choose_teacher(name, 'cpu', 'auto').id


def _weights_file(weights: str) -> Path | None:
    return None if weights in ('imagenet', 'none') else Path(weights).expanduser()


def _weights_identity(weights: str) -> dict[str, str]:
    file = _weights_file(weights)
    if file is None:
        return {'from': weights}
    if not file.is_file():
        raise RecipeError(
            f'--weights: expected imagenet, none or a file, found no file {weights!r}'
        )
    return {'from': 'file', 'sha256': sha256_of(file)}


def _summarise(out: Path) -> int:
    """Print what came out; give the exit status."""
    manifest = read_manifest(out, 'distill')
    best, last, student = (manifest[name] for name in ('best', 'last', 'student'))
    cosines = ', '.join(
        f'{name.removeprefix("cosine_")} {value:.3f}'
        for name, value in best.items() if name.startswith('cosine_')
    )
    print(
        f'{out}: {student["name"]}, {student["parameters"] / 1e6:.1f} million parameters, '
        f'{student["image_size"]} px\n'
        f'{last["epoch"]} epochs in {timedelta(seconds=round(manifest["seconds"]))}; chosen: '
        f'epoch {best["epoch"]}, cosine with the teacher on validation pairs: {cosines}\n'
        f'student: {out / STUDENT}, curves: {out / "curves.png"}'
    )
    return 0
