# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The verb ``distill``: stage 1 of EdgeVL, one student that embeds both modalities as the teacher.

The teacher embeds colour only, and never runs here: its embeddings lie beside the pairs. The
student learns to give the same embedding for the colour picture and for the second picture of a
pair (Cai et al., ECCV 2024, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
import os
from pathlib import Path
from typing import Any, Literal, TYPE_CHECKING

from edgevl_ros.core.files import sha256_of
from edgevl_ros.core.frame import Modality
from edgevl_ros.core.preprocess import ColorSpec, DepthSpec, PreprocessSpec, ResizeSpec
from edgevl_training.dataset import SecondModality
from edgevl_training.errors import RecipeError, TrainingError
from edgevl_training.output import MANIFEST, OutputFolder, read_manifest, write_text
from edgevl_training.recipe import parse, Recipe
from pydantic import Field, model_validator

if TYPE_CHECKING:
    from accelerate import Accelerator
    from edgevl_training.students.student import Student
    from edgevl_training.training_data import CuratedSplit
    from edgevl_training.training_loop import Features, Trainer, Training
    from torch import Tensor

STUDENT, PREPROCESS = 'student.safetensors', 'preprocess.yaml'
_DEPTH_RANGE_M = (0.0, 10.0)
MODALITIES = {
    'both': (Modality.RGB, Modality.DEPTH),
    'rgb': (Modality.RGB,),
    'depth': (Modality.DEPTH,),
}
_MOST_THREADS = 16
# What does not change the result, or is written down as a hash of its content.
_NOT_PURPOSE = {'data', 'out', 'weights', 'device', 'threads'}


class DistillRecipe(Recipe):
    """
    Stage 1: teach one student to embed colour and depth where the teacher embeds colour.

    Run it under torchrun or "accelerate launch" to use several GPUs or machines:
    torchrun --nproc-per-node 4 -m edgevl_training.cli distill ...
    """

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
    modalities: Literal['both', 'rgb', 'depth'] = Field(
        'both', description='what to train on; one alone is an ablation of the paper'
    )
    epochs: int = Field(120, ge=1, le=100_000, description='passes over the training pairs')
    learning_rate: float = Field(
        1e-4, gt=0, le=10, description='of AdamW at the beginning; falls along a cosine'
    )
    final_learning_rate: float = Field(5e-6, ge=0, le=10, description='at the end')
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
    precision: Literal['no', 'fp16', 'bf16'] = Field(
        'no', description='mixed precision, on a GPU only'
    )
    device: Literal['auto', 'cpu', 'cuda'] = Field('auto', description='where to train')
    threads: int | None = Field(
        None, ge=1, le=256,
        description='threads of each process that decode pictures (default: 1 beside a student '
        f'on the CPU, else one for each core, {_MOST_THREADS} at most)',
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description='of crops, order and first weights')

    @model_validator(mode='after')
    def _fits_together(self) -> DistillRecipe:
        problems = []
        if self.final_learning_rate > self.learning_rate:
            problems.append(
                f'--final-learning-rate: expected at most --learning-rate {self.learning_rate:g}, '
                f'found {self.final_learning_rate:g}'
            )
        if self.batch_size % self.accumulate:
            problems.append(
                f'--batch-size: expected a multiple of --accumulate {self.accumulate}, found '
                f'{self.batch_size}'
            )
        if self.near is not None and self.far is not None and self.near >= self.far:
            problems.append(f'--near: expected less than --far {self.far:g}, found {self.near:g}')
        if problems:
            raise ValueError('; '.join(problems))
        return self


def run(arguments: list[str]) -> int:
    """Distil."""
    from edgevl_training.cli import VERBS

    recipe = parse(DistillRecipe, 'distill', arguments, list(VERBS))
    purpose = {
        # The folders may be moved; what they hold is in their manifests.
        'recipe': recipe.model_dump(mode='json', exclude=_NOT_PURPOSE),
        'data': {'manifest_sha256': _identity(recipe.data)},
        'weights': _weights_identity(recipe.weights),
    }
    from edgevl_training.training_loop import joined_processes

    with joined_processes(recipe.device, recipe.precision, recipe.accumulate) as accelerator:
        if not accelerator.is_main_process:
            if not told(None):
                _distil(recipe, accelerator)
            return 0
        with OutputFolder(recipe.out, 'distill', purpose) as output:
            if told(output.finished):
                print(f'{recipe.out}: finished earlier, nothing to do')
            else:
                output.finish({**_distil(recipe, accelerator), **_data_of(recipe)})
            drop_checkpoints(recipe.out)
    return _summarise(recipe.out)


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
    from edgevl_training.training_data import CuratedSplit
    from edgevl_training.training_loop import Trainer

    modalities = MODALITIES[recipe.modalities]
    training = _training(recipe, accelerator)
    train = CuratedSplit(recipe.data, 'train', modalities)
    validation = CuratedSplit(recipe.data, 'validation', modalities)
    student = _begin(recipe, train.dim)
    spec = preprocess_of(
        student.color, student.image_size, train.modality, recipe.resize, recipe.near, recipe.far
    )
    if accelerator.is_main_process:
        write_text(recipe.out / PREPROCESS, spec.to_yaml())
        print(
            f'{recipe.student}, {parameters_of(student) / 1e6:.1f} million parameters, '
            f'{spec.input_size} px: {len(train)} pairs to train on, {len(validation)} to choose '
            f'the epoch by, on {accelerator.num_processes} x {accelerator.device.type}',
            flush=True,
        )
    trainer = Trainer(
        accelerator, student, partial(distillation_terms, modalities=modalities),
        {modality.value: 1.0 for modality in modalities}, spec, training, recipe.out,
    )
    trainer.fit(train, validation)
    if not accelerator.is_main_process:
        return {}
    return _conclude(recipe, student, spec, trainer, train, validation)


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


def _training(recipe: DistillRecipe, accelerator: Accelerator) -> Training:
    from edgevl_training.training_loop import Training

    check_batch_size(recipe.batch_size, recipe.accumulate, accelerator.num_processes)
    return Training(
        recipe.epochs, recipe.learning_rate, recipe.final_learning_rate, recipe.weight_decay,
        recipe.batch_size, recipe.smallest_crop, recipe.accumulate, recipe.seed,
        recipe.threads or default_threads(accelerator), MODALITIES[recipe.modalities],
    )


def check_batch_size(batch_size: int, accumulate: int, processes: int) -> None:
    """
    Check that each process gets the same number of pairs in each accumulated batch.

    :raises RecipeError: when it would not.
    """
    parts = accumulate * processes
    if batch_size % parts:
        raise RecipeError(
            f'--batch-size: expected a multiple of {parts} ({processes} processes, each '
            f'{accumulate} accumulated batches), found {batch_size}'
        )


def default_threads(accelerator: Accelerator) -> int:
    """Give the threads that decode pictures in each process where nobody says how many."""
    if accelerator.device.type == 'cpu':
        return 1
    local_processes = int(os.environ.get('LOCAL_WORLD_SIZE', '1'))
    return min(max(1, len(os.sched_getaffinity(0)) // local_processes), _MOST_THREADS)


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


def _conclude(
    recipe: DistillRecipe, student: Student, spec: PreprocessSpec, trainer: Trainer,
    train: CuratedSplit, validation: CuratedSplit,
) -> dict[str, Any]:
    """Write the best student and the curves; give what belongs into the manifest."""
    from edgevl_training import checkpoint
    from edgevl_training.students.student import save_student
    from edgevl_training.training_log import CURVES, draw_curves, METRICS
    from edgevl_training.training_loop import BEST

    checkpoint.load(recipe.out / BEST, student)
    save_student(student, recipe.out / STUDENT)
    names = {'rgb': 'colour', 'depth': train.modality.name}
    draw_curves(recipe.out / CURVES, trainer.epochs, trainer.best['epoch'], names)
    files = (STUDENT, PREPROCESS, METRICS, CURVES)
    return {
        'teacher': train.manifest['teacher'],
        'second_modality': train.manifest.get('second_modality'),
        'student': {
            'name': student.name,
            'parameters': parameters_of(student),
            'image_size': student.image_size,
            'dim': student.dim,
        },
        'preprocess': spec.to_yaml(),
        'counts': {'train': len(train), 'validation': len(validation)},
        'best': trainer.best,
        'last': trainer.epochs[-1],
        'seconds': round(sum(epoch['seconds'] for epoch in trainer.epochs), 1),
        'files': [{'name': name, 'sha256': sha256_of(recipe.out / name)} for name in files],
    }


def parameters_of(student: Student) -> int:
    """Count the numbers that a student learns."""
    return sum(weight.numel() for weight in student.parameters())


def _identity(data: Path) -> str:
    read_manifest(data, 'curate')
    return sha256_of(data / MANIFEST)


def _data_of(recipe: DistillRecipe) -> dict[str, Any]:
    return {'paths': {'data': os.path.relpath(recipe.data, recipe.out)}}


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


def told(value: Any) -> Any:
    """
    Give every process what the first one gives.

    :raises TrainingError: when the first one has ended.
    """
    from accelerate.utils import broadcast_object_list

    try:
        return broadcast_object_list([value])[0]
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            'another process of this run has ended or cannot be reached; see what it said'
        ) from error


def drop_checkpoints(out: Path) -> None:
    """Take away what only an unfinished run needs; the student holds the best weights."""
    from edgevl_training.training_loop import BEST, LATEST

    for name in (BEST, LATEST):
        (out / name).unlink(missing_ok=True)


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
