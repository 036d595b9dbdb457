# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The label superset: the phrases that a pair may be given as its pseudo-label.

The shipped ones lie in ``supersets/*.txt``; an owner may write others, one phrase a line, ``#``
for comments. Phrases are spelled as the bank of a bundle spells them.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from edgevl_ros.core.errors import VocabularyError
from edgevl_ros.core.vocabulary import canonical_phrase, check_labels, MAX_LABELS
from edgevl_training.errors import RecipeError
from edgevl_training.output import read_manifest
from edgevl_training.prompts import templates_named

SHIPPED = ('indoor', 'outdoor', 'satellite')

_LARGEST_FILE_BYTES = 1_000_000
_SHOWN_PROBLEMS = 20


def read_superset(names: Sequence[str]) -> tuple[str, ...]:
    """
    Read shipped supersets by name and others by path, in the order given.

    A phrase that several of them hold counts once.

    :raises RecipeError: listing everything that is wrong in every file.
    """
    phrases: dict[str, None] = {}
    problems: list[str] = []
    for name in names:
        try:
            found, wrong = _read_phrases(name, _read_text(name))
        except RecipeError as error:
            found, wrong = [], [str(error)]
        phrases.update(dict.fromkeys(found))
        problems += wrong
    if not problems and not 2 <= len(phrases) <= MAX_LABELS:
        problems = [f'expected 2 to {MAX_LABELS} phrases to choose among, found {len(phrases)}']
    if problems:
        shown = [f'  {problem}' for problem in problems[:_SHOWN_PROBLEMS]]
        if len(problems) > _SHOWN_PROBLEMS:
            shown.append(f'  and {len(problems) - _SHOWN_PROBLEMS} more')
        raise RecipeError('--superset: to mend:\n' + '\n'.join(shown))
    return tuple(phrases)


def templates_of(curated: Path) -> tuple[str, ...] | None:
    """
    Give the sentences around phrases that ``edgevl curate`` was asked for; None if for none.

    :raises DatasetError: when it has not finished there.
    """
    prompts = read_manifest(curated, 'curate')['recipe'].get('prompts')
    return templates_named(prompts) if prompts else None


def _read_text(name: str) -> str:
    if name in SHIPPED:
        file = resources.files('edgevl_training') / 'supersets' / f'{name}.txt'
        return file.read_text('utf-8')
    path = Path(name)
    if not path.is_file():
        raise RecipeError(f'{name}: expected {", ".join(SHIPPED)} or a text file, found neither')
    if path.stat().st_size > _LARGEST_FILE_BYTES:
        raise RecipeError(f'{name}: expected at most 1 MB of phrases')
    try:
        return path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f'{name}: expected a text file in UTF-8: {error}') from error


def _read_phrases(name: str, text: str) -> tuple[list[str], list[str]]:
    """Give the phrases of one list, and what is wrong with which line."""
    first_line: dict[str, int] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith('#'):
            continue
        phrase = canonical_phrase(line)
        try:
            check_labels([phrase])
        except VocabularyError as error:
            problems.append(f'{name}, line {number}: {error}')
            continue
        if phrase in first_line:
            problems.append(
                f'{name}, line {number}: {phrase!r} stands in line {first_line[phrase]} already'
            )
        first_line.setdefault(phrase, number)
    if not first_line and not problems:
        problems.append(f'{name}: expected one phrase a line, found none')
    return list(first_line), problems
