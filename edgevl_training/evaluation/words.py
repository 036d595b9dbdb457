# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The words that models choose among, embedded once for every teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
import re

from edgevl_ros.core.errors import VocabularyError
from edgevl_ros.core.vocabulary import (
    canonical_phrase,
    check_labels,
    PhraseBank,
    Vocabulary,
)
from edgevl_training.errors import DatasetError, RecipeError, TeacherError
from edgevl_training.evaluation.students import Student
from edgevl_training.phrases import phrase_texts
from edgevl_training.teachers.teacher import Teacher

_LARGEST_FILE_BYTES = 1_000_000
_INSIDE_CAMEL_CASE = re.compile(r'(?<=[a-z])(?=[A-Z])')


def phrase_of(label: str) -> str:
    """Spell the label of a data set as words: living_room and LivingRoom are 'living room'."""
    return canonical_phrase(_INSIDE_CAMEL_CASE.sub(' ', label))


def read_vocabulary(given: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """
    Read ``--vocabulary``: phrases, or the name of one text file with a phrase a line.

    :returns: the phrases in the bank's spelling, and the phrase of each label that was given one
        by "label = phrase", by the label as `phrase_of` spells it.
    :raises RecipeError: for phrases that repeat or cannot be printed, and an unreadable file.
    """
    phrases: dict[str, None] = {}
    renamed = {}
    for line in _lines(given):
        label, equals, phrase = (part.strip() for part in line.partition('='))
        phrase = canonical_phrase(phrase if equals else label)
        if not equals and phrase in phrases:
            raise RecipeError(f'--vocabulary: expected every phrase once, found {phrase!r} twice')
        phrases[phrase] = None
        if equals:
            renamed[phrase_of(label)] = phrase
    if given:
        try:
            check_labels(tuple(phrases))
        except VocabularyError as error:
            raise RecipeError(f'--vocabulary: {error}') from error
        if len(phrases) < 2:
            raise RecipeError('--vocabulary: expected at least two phrases to choose among')
    return tuple(phrases), renamed


def _lines(given: Sequence[str]) -> list[str]:
    files = [text for text in given if text.endswith('.txt')]
    if not files:
        return list(given)
    if len(given) > 1:
        raise RecipeError(f'--vocabulary: expected phrases or one file, found {files[0]} and more')
    path = Path(files[0]).expanduser()
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise RecipeError(f'--vocabulary: {path}: expected at most 1 MB of phrases')
        lines = path.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f'--vocabulary: {path}: expected a text file: {error}') from error
    return [line for line in lines if line.strip() and not line.lstrip().startswith('#')]


def embed_words(
    phrases: Sequence[str],
    results: Mapping[str, str],
    names: Mapping[str, str],
    loaded: Mapping[str, Callable[[], Teacher]],
    students: Sequence[Student],
    open_named: Callable[[str], Teacher],
    templates: Sequence[str] | None = None,
) -> dict[str, Vocabulary]:
    """
    Embed the phrases for every result, in the space of its teacher.

    A student whose bundle has a bank with all of them is measured with those rows, for they are
    what a robot compares with, and measuring a bundle then needs no torch. All others of a teacher
    share the rows of its last such bundle that was curated with the same sentences as its last
    student, which is the deployed one; else the teacher embeds the phrases.

    :param results: the id of the teacher of every result, by the name of the result.
    :param names: what `open_teacher` knows each teacher by, by its id.
    :param loaded: by id, those that are run.
    :param open_named: opens one of the others.
    :param templates: sentences around each phrase, where a teacher embeds them; its own unless
        given.
    :returns: the phrases for each result, by its name.
    :raises VocabularyError: naming the phrases that no bank has, with the remedy.
    :raises TeacherError: when a name leads to another teacher.
    """
    banks = {
        student.name: _of_bank(phrases, student.name, student.bank)
        for student in students if student.bank is not None
    }
    shared: dict[str, Vocabulary] = {}
    words = {}
    for name, id_ in results.items():
        own = banks.get(name)
        if not isinstance(own, Vocabulary):
            if id_ not in shared:
                shared[id_] = _shared(
                    phrases, [one for one in students if one.teacher == id_], banks,
                    names[id_], loaded.get(id_) or partial(_opened, names[id_], id_, open_named),
                    id_ in loaded, templates,
                )
            own = shared[id_]
        words[name] = own
    return words


def _shared(
    phrases: Sequence[str], students: Sequence[Student], banks: Mapping[str, Vocabulary | str],
    name: str, load: Callable[[], Teacher], is_run: bool, templates: Sequence[str] | None,
) -> Vocabulary:
    """Give the rows of all results of one teacher that have none of their own."""
    alike = [one for one in students if one.prompts == students[-1].prompts]
    found = [banks[one.name] for one in alike if one.name in banks]
    for bank in reversed(found):
        if isinstance(bank, Vocabulary):
            return bank
    if found and not is_run:
        raise VocabularyError(
            '\n'.join(map(str, found)) + f'\nTo mend it: --teacher {name} embeds any phrase; or '
            'name phrases that the bundle knows with --vocabulary, and the words for a label of '
            'the data set with "label = phrase"'
        )
    return _of_teacher(phrases, load(), templates)


def check_fits(student: Student, words: Vocabulary) -> None:
    """
    See that a student's embeddings can be compared with words.

    :raises DatasetError: when they have other dimensions.
    """
    dim = words.embeddings.shape[1]
    if student.dim != dim:
        raise DatasetError(
            f'--models {student.name}={student.path}: expected embeddings of {dim} dimensions '
            f'like the words of {words.teacher}, found {student.dim}; this student was not '
            'trained for that teacher: export it again'
        )


def _of_teacher(
    phrases: Sequence[str], teacher: Teacher, templates: Sequence[str] | None
) -> Vocabulary:
    """Embed phrases as the bank of a bundle has them, so that a robot gives the same answers."""
    texts = phrase_texts(phrases)
    rows = teacher.embed_texts([texts[canonical_phrase(phrase)] for phrase in phrases], templates)
    return Vocabulary(tuple(phrases), rows, float(teacher.logit_scale), teacher.id)


def _of_bank(phrases: Sequence[str], name: str, bank: PhraseBank) -> Vocabulary | str:
    """Find the phrases in the bank of a bundle, or say what it lacks."""
    try:
        return bank.vocabulary(phrases)
    except VocabularyError as error:
        return f'--models {name}: {error}'


def _opened(name: str, id_: str, open_named: Callable[[str], Teacher]) -> Teacher:
    teacher = open_named(name)
    if teacher.id != id_:
        raise TeacherError(
            f'expected the teacher {id_} for the words, found that {name!r} is {teacher.id} here; '
            'name the right one with --teacher'
        )
    return teacher
