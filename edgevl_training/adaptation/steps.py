# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The steps of an adaptation: which verb reads and writes which folder."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
import importlib
from pathlib import Path
from typing import Literal

from edgevl_training.adaptation.options import as_words, Sections
from edgevl_training.adaptation.recipe import AdaptRecipe
from edgevl_training.output import IN_PROGRESS, MANIFEST
from edgevl_training.recipe import Recipe
from edgevl_training.teachers.teacher import DEFAULT_TEACHER

VERBS = ('extract', 'teach', 'curate', 'distill', 'contrast', 'export', 'evaluate', 'pack')
# The options of contrast that calibrating alone depends on: others may change without doing so.
_OF_CALIBRATION = (
    'batch_size', 'calibration', 'calibration_modalities', 'calibration_pairs', 'device',
    'modalities', 'precision', 'seed', 'threads', 'weight_bits',
)

State = Literal['done', 'begun', 'to do']


@dataclass(frozen=True)
class Step:
    """
    A verb and the folder that it writes; ``arguments`` name this and the folders that it reads.

    ``configured`` says whether the recipe's section of the verb counts too; ``compares`` names the
    model of the evaluation that is made only to compare with.
    """

    verb: str
    folder: Path
    arguments: tuple[str, ...]
    configured: bool = True
    compares: str | None = None

    @property
    def state(self) -> State:
        """Tell how far it is, by what lies in its folder."""
        if (self.folder / MANIFEST).is_file():
            return 'done'
        return 'begun' if (self.folder / IN_PROGRESS).is_file() else 'to do'

    def words(self, config: Path) -> list[str]:
        """Give the words after ``edgevl VERB``."""
        return [*(['--config', str(config)] if self.configured else []), *self.arguments]


def recipe_class(verb: str) -> type[Recipe]:
    """Give the recipe that a verb reads."""
    from edgevl_training.cli import VERBS as MODULES

    module = importlib.import_module(MODULES[verb][0])
    found: type[Recipe] = getattr(module, f'{verb.capitalize()}Recipe')
    return found


def first_steps(recipe: AdaptRecipe) -> list[Step]:
    """List the steps up to curated pairs."""
    work = recipe.work_folder
    pairs, taught = work / 'pairs', work / 'taught'
    return [
        _step('extract', pairs),
        _step('teach', taught, pairs=pairs),
        _step('curate', work / 'curated', pairs=pairs, taught=taught),
    ]


def last_steps(
    recipe: AdaptRecipe, sections: Sections, measured: bool, words: tuple[str, ...] = (),
    left_out: Collection[str] = (),
) -> list[Step]:
    """
    List the steps from curated pairs to the bundle.

    :param measured: whether there are held-out pairs; else there is nothing to compare with.
    :param words: to choose among in measuring; the labels of the data set if there are any.
    :param left_out: models that are not measured after all; their steps are listed as ever.
    """
    work = recipe.work_folder
    curated, stage1, stage2 = (work / name for name in ('curated', 'stage1', 'stage2'))
    exported, evaluated = work / 'exported', work / 'evaluated'
    training = [
        _step('distill', stage1, data=curated),
        _step('contrast', stage2, data=curated, student=stage1),
        _step('export', exported, student=stage2),
    ]
    vocabulary = ('--vocabulary', *recipe.vocabulary) if recipe.vocabulary else ()
    if not measured:
        return [*training, _step('pack', recipe.out, vocabulary, exported=exported)]
    calibration = as_words(sections['contrast'], _OF_CALIBRATION)
    teacher = str(sections['teach'].get('teacher') or DEFAULT_TEACHER)
    models = (('fp32', 'exported_fp32'), ('ptq', 'exported_ptq'), ('int8', 'exported'))
    return [
        *training,
        replace(_step('export', work / 'exported_fp32', student=stage1), compares='fp32'),
        Step('contrast', work / 'ptq', (
            '--data', str(curated), '--student', str(stage1), '--out', str(work / 'ptq'), '--ptq',
            *calibration,
        ), configured=False, compares='ptq'),
        replace(_step('export', work / 'exported_ptq', student=work / 'ptq'), compares='ptq'),
        _step(
            'evaluate', evaluated,
            (
                *(('--vocabulary', *words) if words else ()), '--teacher', teacher,
                '--models',
                *(f'{name}={work / folder}' for name, folder in models if name not in left_out),
            ),
            pairs=work / 'pairs', curated=curated, taught=work / 'taught',
        ),
        _step('pack', recipe.out, vocabulary, exported=exported, evaluated=evaluated),
    ]


def _step(verb: str, folder: Path, more: tuple[str, ...] = (), **reads: Path) -> Step:
    read = (word for name, path in reads.items() for word in (f'--{name}', str(path)))
    return Step(verb, folder, ('--out', str(folder), *read, *more))
