# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""See before hours of work whether any verb would refuse its options in the end."""

from __future__ import annotations

from collections.abc import Sequence
import os
from pathlib import Path
from typing import Any

from edgevl_ros.core.errors import EdgeVLError
from edgevl_training.adaptation.options import Sections, settings_of
from edgevl_training.adaptation.recipe import AdaptRecipe, SOURCE_OPTIONS
from edgevl_training.adaptation.steps import recipe_class, Step
from edgevl_training.curation.superset import read_superset
from edgevl_training.errors import OutputError, RecipeError
from edgevl_training.output import MANIFEST
from edgevl_training.packing.words import read_labels
from edgevl_training.recipe import parse

# These run one.
_TEACHING = ('teach', 'distill')


def check(
    recipe: AdaptRecipe, sections: Sections, steps: Sequence[Step], file: Path, config: Path
) -> None:
    """
    Parse what every step will be given, and look at what can be known beforehand.

    :param file: holds the options of all verbs; ``config`` is the recipe that most came from.
    :raises RecipeError: listing everything that is wrong.
    :raises OutputError: when something else lies where the bundle is to be.
    """
    _check_folders(recipe)
    problems = _settings_without_effect(recipe, steps)
    for step in steps:
        try:
            _check_step(step, file)
        except EdgeVLError as error:
            problems.append(_with_origins(str(error), recipe, file, config))
    problems += _problems_of_devices(sections, steps)
    problems += _problems_of_crops(sections, steps)
    if recipe.vocabulary:
        read_labels(recipe.vocabulary)
    if problems:
        raise RecipeError('\n'.join(dict.fromkeys(problems)))


def _check_folders(recipe: AdaptRecipe) -> None:
    out, work = recipe.out.resolve(), recipe.work_folder.resolve()
    if recipe.out.exists() and not (recipe.out / MANIFEST).is_file():
        raise OutputError(
            f'{recipe.out}: expected nothing or a bundle, found something else; name another --out'
        )
    if out == work or out in work.parents:
        raise OutputError(
            f'--work {recipe.work_folder}: expected a folder outside of --out {recipe.out}, which '
            'is to hold the bundle alone; name another --work'
        )
    for option, folder in (('--out', out), ('--work', work)):
        if folder.exists():
            continue  # it may be finished, and need no writing
        nearest = next(path for path in folder.parents if path.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            raise OutputError(
                f'{option} {folder}: expected a place to write to, found that {nearest} is no '
                'folder or may not be written to; name another'
            )


def _with_origins(message: str, recipe: AdaptRecipe, file: Path, config: Path) -> str:
    """Name what the user gave in place of the file that holds the options of all verbs."""
    given = {f'extract.{name}': f'--{name.replace("_", "-")}' for name in SOURCE_OPTIONS
             if name in recipe.model_fields_set}
    given.update({name: f'--set {name}' for name in settings_of(recipe)})
    for name, option in given.items():
        message = message.replace(f'{file}: {name}', option)
    return message.replace(str(file), str(config))


def _settings_without_effect(recipe: AdaptRecipe, steps: Sequence[Step]) -> list[str]:
    """Name what ``--set`` asks for and adapt itself decides."""
    decided = {f'{step.verb}.{word[2:]}' for step in steps for word in step.arguments}
    return [
        f'--set {name}: adapt decides that itself: folders by --work and --out, the teacher by '
        'teach.teacher'
        for name in settings_of(recipe) if name.replace('_', '-') in decided
    ]


def _check_step(step: Step, file: Path) -> None:
    """
    Parse what a verb will be given, and find what it names.

    :raises EdgeVLError: when the verb would refuse it.
    """
    from edgevl_training.cli import VERBS

    parsed: Any = parse(recipe_class(step.verb), step.verb, step.words(file), list(VERBS))
    if step.verb == 'curate':
        read_superset(parsed.superset)
    if step.verb == 'distill' and step.state != 'done':
        from edgevl_training.distill import check_student

        check_student(parsed)
    if step.state != 'done' and getattr(parsed, 'teacher', None) and step.verb in _TEACHING:
        from edgevl_training.teachers.teacher import choose_teacher

        # In training, the precision is the student's.
        choose_teacher(
            parsed.teacher, parsed.device, parsed.precision if step.verb == 'teach' else 'auto'
        )


def _problems_of_crops(sections: Sections, steps: Sequence[Step]) -> list[str]:
    """Say why stage 1 could not ask its teacher about crops."""
    done = {step.verb for step in steps if step.state == 'done'}
    if not sections['distill'].get('teacher') or 'distill' in done:
        return []
    from edgevl_training.teaching.crop_teacher import needed_for_crops

    return [
        f'distill.teacher: expected targets of one whole picture each, found others; {option}'
        for option in needed_for_crops(sections['curate'], sections['teach'].get('views'))
    ]


def _problems_of_devices(sections: Sections, steps: Sequence[Step]) -> list[str]:
    """Say which stage of training wants a GPU where there is none."""
    to_train = {step.verb for step in steps if step.state != 'done'}
    wanting = [
        (verb, option, sections[verb].get(option))
        for verb in ('distill', 'contrast') if verb in to_train
        for option, modest in (('device', 'cpu auto'), ('precision', 'no'))
        if str(sections[verb].get(option) or modest) not in modest
    ]
    if not wanting:
        return []
    import torch

    if torch.cuda.is_available():
        return []
    modest = {'device': 'cpu', 'precision': 'no'}
    return [
        f'{verb}.{option}: {value} needs a CUDA GPU, found none; --set '
        f'{verb}.{option}={modest[option]}'
        for verb, option, value in wanting
    ]
