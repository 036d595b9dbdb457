# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What both stages of training do around their training: processes, output folder, manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import os
from pathlib import Path
from typing import Any, TYPE_CHECKING

from edgevl_ros.core.files import sha256_of
from edgevl_training.output import OutputFolder

if TYPE_CHECKING:
    from accelerate import Accelerator
    from edgevl_ros.core.preprocess import PreprocessSpec
    from edgevl_training.curated_split import CuratedSplit
    from edgevl_training.students.student import Student
    from edgevl_training.training_loop import Trainer

STUDENT, PREPROCESS = 'student.safetensors', 'preprocess.yaml'
# What does not change the result, or is written down as a hash of its content.
NOT_PURPOSE = {'data', 'out', 'device', 'threads'}


def run_stage(
    recipe: Any, verb: str, purpose: Mapping[str, Any], inputs: tuple[str, ...],
    train: Callable[[Any, Accelerator], dict[str, Any]],
) -> bool:
    """
    Train in every process that was started, into the output folder, unless it is finished.

    :param inputs: fields of the recipe that name folders, for the ``paths`` of the manifest.
    :param train: gives what belongs into the manifest, in the first process.
    :returns: whether this is the first process, which tells the result.
    """
    from edgevl_training.processes import joined_processes, told
    from edgevl_training.training_loop import BEST, LATEST

    out: Path = recipe.out
    with joined_processes(recipe.device, recipe.precision, recipe.accumulate) as accelerator:
        if not accelerator.is_main_process:
            if not told(None):
                train(recipe, accelerator)
            return False
        with OutputFolder(out, verb, purpose) as output:
            if told(output.finished):
                print(f'{out}: finished earlier, nothing to do')
            else:
                result = train(recipe, accelerator)
                paths = {name: os.path.relpath(getattr(recipe, name), out) for name in inputs}
                output.finish({**result, 'paths': paths})
            # Only an unfinished run needs them; the student holds the best weights.
            for name in (BEST, LATEST):
                (out / name).unlink(missing_ok=True)
    return True


def outcome(
    out: Path, student: Student, spec: PreprocessSpec, trainer: Trainer, train: CuratedSplit,
    validation: CuratedSplit,
) -> dict[str, Any]:
    """Draw the curves; give the part of the manifest that both stages have."""
    from edgevl_training.training_log import CURVES, draw_curves, METRICS

    names = {'rgb': 'colour', 'depth': train.modality.name}
    draw_curves(out / CURVES, trainer.epochs, trainer.best['epoch'], names)
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
        'files': [{'name': name, 'sha256': sha256_of(out / name)} for name in files],
    }


def learned_by(manifest: Mapping[str, Any]) -> str:
    """Name what a student has learned; a stage may have settled what its recipe left open."""
    return str(manifest.get('modalities') or manifest['recipe']['modalities'])


def parameters_of(student: Student) -> int:
    """Count the numbers that a student learns."""
    return sum(weight.numel() for weight in student.parameters())
