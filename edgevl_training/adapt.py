# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The verb ``adapt``: all verbs from recordings to a bundle, one after the other.

Each verb runs as its own command would, on folders inside of one, and skips what was finished
before; there is nothing that only this verb can do.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
import os
from pathlib import Path
import sys
import tempfile
import time

from edgevl_training.adaptation.check import check
from edgevl_training.adaptation.moments import without_labels
from edgevl_training.adaptation.options import (
    Sections,
    sections_of,
    settings_of,
    with_recipe_found,
)
from edgevl_training.adaptation.plan import commands_of, plan_of
from edgevl_training.adaptation.recipe import AdaptRecipe
from edgevl_training.adaptation.run_step import run_step
from edgevl_training.adaptation.steps import first_steps, last_steps, Step, VERBS
from edgevl_training.errors import DatasetError, TrainingError
from edgevl_training.output import MANIFEST, read_manifest, write_text
from edgevl_training.pack import launch_command
from edgevl_training.recipe import parse
import yaml

_RECIPE = 'recipe.yaml'


def run(arguments: list[str]) -> int:
    """Adapt; give the status of the verb that could not go on, else 0."""
    from edgevl_training.cli import VERBS as MODULES

    arguments, config = with_recipe_found(arguments)
    recipe = parse(AdaptRecipe, 'adapt', arguments, list(MODULES))
    sections, notice = sections_of(config, recipe, VERBS), ''
    if 'curate.agree_seconds' not in settings_of(recipe):
        sections, notice = without_labels(sections)
    steps = _expected(recipe, sections)
    with tempfile.TemporaryDirectory(prefix='edgevl-adapt-') as folder:
        file = Path(folder, _RECIPE)
        file.write_text(_text_of(sections, config), encoding='utf-8')
        check(recipe, sections, steps, file, config)
        if int(os.environ.get('WORLD_SIZE', '1')) > 1:
            return _refuse_processes(recipe, steps, file)
        plan = plan_of(steps, config, recipe.work_folder)
        print(*filter(None, (plan, notice)), sep='\n', flush=True)
        started_s = time.monotonic()
        if status := _adapt(recipe, sections, file):
            return status
        write_text(recipe.work_folder / _RECIPE, file.read_text(encoding='utf-8'))
    _summarise(recipe, time.monotonic() - started_s)
    return 0


def _text_of(sections: Sections, config: Path) -> str:
    """Write the options of all verbs as a recipe, which each of them can be given alone."""
    given = {verb: options for verb, options in sections.items() if options}
    head = f'# What "edgevl adapt" gives each verb: {config.name}, and options of its own.\n'
    return head + yaml.safe_dump(given, sort_keys=False, allow_unicode=True)


def _refuse_processes(recipe: AdaptRecipe, steps: list[Step], file: Path) -> int:
    """Say how several processes share the long steps: the first one speaks for all."""
    if os.environ.get('RANK', '0') == '0':
        kept = recipe.work_folder / _RECIPE
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, file.read_text(encoding='utf-8'))
        print(
            'edgevl adapt: expected to be one process, found several. Run these, and then adapt '
            'without torchrun; it skips what they have finished:\n'
            + '\n'.join(commands_of(steps, kept)), file=sys.stderr,
        )
    return 2


def _expected(recipe: AdaptRecipe, sections: Sections) -> list[Step]:
    """List the steps, before the pairs are split and it is known what is held out."""
    try:
        held_out = float((sections['curate'].get('split') or [1])[-1]) > 0
    except (TypeError, ValueError, KeyError):
        held_out = True  # `check` lets curate say what is wrong
    return [*first_steps(recipe), *last_steps(recipe, sections, held_out)]


def _adapt(recipe: AdaptRecipe, sections: Sections, file: Path) -> int:
    """Run every step; give the status of the one that could not go on, else 0."""
    steps = _expected(recipe, sections)
    curated = len(first_steps(recipe))
    for number in range(curated):
        status = run_step(steps, number, file)
        if status and not _goes_on_without_test_pairs(steps[number]):
            return status
    measured, words = _measurable(recipe, sections)
    last, left_out = partial(last_steps, recipe, sections, measured, words), list[str]()
    steps = [*steps[:curated], *last()]
    for number in range(curated, len(steps)):
        compared = steps[number].compares
        if compared in left_out:
            continue
        try:
            status = run_step(steps, number, file)
        except TrainingError as error:
            if compared is None:
                raise
            # The bundle is what was asked for; hours of work end for no comparison.
            print(
                f'{error}\nedgevl adapt: goes on without {compared}, only there to compare with',
                file=sys.stderr,
            )
            left_out.append(compared)
            steps[curated:] = last(left_out)
            continue
        if status:
            return status
    return 0


def _measurable(recipe: AdaptRecipe, sections: Sections) -> tuple[bool, tuple[str, ...]]:
    """Tell whether any pair is held out to measure with, and among which words to choose."""
    from edgevl_training.evaluation.choice_of_words import words_for
    from edgevl_training.evaluation.pairs import select_pairs

    pairs, curated = recipe.work_folder / 'pairs', recipe.work_folder / 'curated'
    asked = sections['evaluate']
    try:
        held_out = select_pairs(pairs, curated, asked.get('split') or 'test')
    except DatasetError as error:
        print(f'nothing will be measured: {error}', file=sys.stderr)
        return False, ()
    return True, () if asked.get('vocabulary') else words_for(
        held_out, curated, recipe.vocabulary
    )


def _goes_on_without_test_pairs(step: Step) -> bool:
    """Tell whether all that ``curate`` misses are confident pairs to test with; all are tested."""
    if step.verb != 'curate' or step.state != 'done':
        return False
    splits = read_manifest(step.folder, 'curate')['counts']['splits']
    return all(splits[name]['kept'] for name in ('train', 'validation'))


def _summarise(recipe: AdaptRecipe, seconds: float) -> None:
    """Print what came out."""
    from edgevl_training.evaluation.summary import summarise

    evaluated = recipe.work_folder / 'evaluated'
    if (evaluated / MANIFEST).is_file():
        summarise(evaluated, evaluated / 'metrics.json')
    else:
        print(
            'Nothing was measured, as no pair was held out. To hold some out, give '
            '--set curate.split=[0.8,0.1,0.1] and another --work.', file=sys.stderr,
        )
    size = sum(path.stat().st_size for path in recipe.out.iterdir())
    print(
        f'bundle: {recipe.out}, {size / 1e6:.1f} MB, in {timedelta(seconds=round(seconds))}\n'
        f'to run: {launch_command(recipe.out)}'
    )
