# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is asked of ``evaluate``, opened and found to fit together before any long work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from edgevl_ros.core.files import sha256_of
from edgevl_training.curation.superset import templates_of
from edgevl_training.errors import DatasetError, RecipeError
from edgevl_training.evaluation.pairs import select_pairs, TestPairs
from edgevl_training.evaluation.recipe import EvaluateRecipe, TEACHER
from edgevl_training.evaluation.students import open_student, Student
from edgevl_training.evaluation.taught import TaughtColors
from edgevl_training.evaluation.words import phrase_of, read_vocabulary
from edgevl_training.output import MANIFEST
from edgevl_training.prompts import TEMPLATES
from edgevl_training.teachers.teacher import choose_teacher, Teacher, TeacherChoice

# Names for a teacher that only teach has run, if no other result has them.
_TAUGHT = ('taught', 'taught_teacher', 'taught_embeddings')


class RunTeacher:
    """A teacher to be measured, loaded once and only when it is needed."""

    def __init__(self, choice: TeacherChoice) -> None:
        """Remember the choice."""
        self.choice = choice

    @cached_property
    def teacher(self) -> Teacher:
        """Give it, loaded."""
        print(f'loading {self.choice.id} ({self.choice.precision}, {self.choice.device})')
        return self.choice.load()

    def load(self) -> Teacher:
        """Load it, if that is still to be done."""
        return self.teacher


@dataclass(frozen=True)
class Task:
    """
    All that is asked, found to fit together before any long work.

    ``teachers`` are those to be run, by the name of their result; ``phrase`` gives the phrase of
    each label of the data set, ``vocabulary`` those to choose among.
    """

    recipe: EvaluateRecipe
    pairs: TestPairs
    students: tuple[Student, ...]
    teachers: dict[str, RunTeacher]
    taught: TaughtColors | None
    vocabulary: tuple[str, ...]
    phrase: dict[str, str] = field(default_factory=dict)

    @property
    def teacher_ids(self) -> dict[str, str]:
        """Give the id of every measured teacher by the name of its result."""
        ids = {name: one.choice.id for name, one in self.teachers.items()}
        if self.taught is not None and self._is_apart(self.taught, ids):
            # One that has looked at parts of pictures is not the teacher as published.
            usual = (TEACHER,) if self.taught.whole else ()
            name = next(n for n in (*usual, *_TAUGHT) if n not in self._names)
            ids = {name: self.taught.id, **ids}
        return ids

    def _is_apart(self, taught: TaughtColors, ids: Mapping[str, str]) -> bool:
        """
        Tell whether what ``teach`` has left is a result of its own.

        Where nobody knows what is right, all are held against it, whoever else is measured.
        """
        return taught.id not in ids.values() or not (taught.whole or self.phrase)

    @property
    def templates(self) -> tuple[str, ...] | None:
        """Give the sentences around words that ``pack`` uses too; None for a teacher's own."""
        if self.recipe.curated is not None:
            return templates_of(self.recipe.curated)
        # The last student is the one that is deployed.
        known = filter(None, (TEMPLATES.get(one.prompts or '') for one in reversed(self.students)))
        return next(known, None)

    @property
    def _names(self) -> set[str]:
        return {*self.teachers, *(student.name for student in self.students)}


def open_task(recipe: EvaluateRecipe) -> Task:
    """
    Open everything that is named, and see that it belongs together.

    :raises EdgeVLError: naming what does not fit, and the remedy.
    """
    given, renamed = read_vocabulary(recipe.vocabulary)
    pairs = select_pairs(recipe.pairs, recipe.curated, recipe.split)
    students = tuple(open_student(name, path) for name, path in recipe.model_paths.items())
    _check_second_modality(students, pairs)
    taught = None if recipe.taught is None else TaughtColors(recipe.taught, recipe.pairs)
    teachers = {
        name: RunTeacher(choose_teacher(what, recipe.device))
        for name, what in recipe.teacher_names.items()
    }
    # Of the whole data set, so that numbers of different splits can be compared.
    spelled = {label: phrase_of(label) for label in pairs.labels} if any(pairs.truth) else {}
    phrase = {label: renamed.get(text, text) for label, text in spelled.items()}
    task = Task(recipe, pairs, students, teachers, taught, given, phrase)
    return replace(task, vocabulary=_vocabulary(task))


def _check_second_modality(students: tuple[Student, ...], pairs: TestPairs) -> None:
    for student in students:
        if student.second not in (None, pairs.modality.name):
            raise DatasetError(
                f'--models {student.name}={student.path}: expected a student of colour and '
                f'{pairs.modality.name}, as in {pairs.folder}, found one of colour and '
                f'{student.second}; measure it on pairs of its own cameras'
            )


def _vocabulary(task: Task) -> tuple[str, ...]:
    """Settle the phrases: those given, else the labels of the data set, else the bundle's."""
    phrases = sorted(set(task.phrase.values()))
    if task.vocabulary:
        measured = sorted({task.phrase[label] for label in task.pairs.truth if label})
        if measured and not set(measured) & set(task.vocabulary):
            raise RecipeError(
                '--vocabulary: expected the labels of the data set among the phrases, found none '
                f'of {", ".join(measured[:10])}; add them, or their words as "label = phrase"'
            )
    elif phrases:
        if len(phrases) < 2:
            raise RecipeError(
                f'{task.pairs.folder}: expected labels of at least two places, found '
                f'{phrases[0]!r} alone; name the phrases to choose among with --vocabulary'
            )
        return tuple(phrases)
    if not phrases and not task.teacher_ids:
        raise RecipeError(
            f'{task.pairs.folder}: these pairs have no labels to measure by; give --teacher NAME '
            'or --taught FOLDER, and agreement with that teacher is measured'
        )
    bundled = next((student.labels for student in task.students if student.labels), ())
    if not task.vocabulary and len(bundled) < 2:
        raise RecipeError(
            f'{task.pairs.folder}: these pairs have no labels; name the phrases to choose among '
            'with --vocabulary'
        )
    return task.vocabulary or bundled


def purpose_of(task: Task) -> dict[str, Any]:
    """Give everything that decides what comes out, for the output folder to know it by."""
    recipe = task.recipe
    # Where teachers run changes nothing but their precision, which is told with them.
    others = {'pairs', 'models', 'out', 'curated', 'taught', 'teacher', 'vocabulary', 'device'}
    sources = {
        name: {'manifest_sha256': sha256_of(folder / MANIFEST)}
        for name, folder in (
            ('pairs', recipe.pairs), ('curated', recipe.curated), ('taught', recipe.taught)
        ) if folder is not None
    }
    return {
        # The folders may be moved; what they hold is in their manifests.
        'recipe': recipe.model_dump(mode='json', exclude=others),
        **sources,
        'models': [student.identity for student in task.students],
        'teachers': [
            {'name': name, 'id': one.choice.id, 'precision': one.choice.precision}
            for name, one in task.teachers.items()
        ],
        'vocabulary': list(task.vocabulary),
        'phrases': task.phrase,
    }
