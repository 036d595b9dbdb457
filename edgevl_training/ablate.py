# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The verb ``ablate``: what each part of EdgeVL is worth, on the user's own pairs.

It trains, exports and measures every row of the paper's tables 1 and 2, for one or more seeds.
Rows are independent: one that fails is told with its reason, and the others go on.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from edgevl_ros.core.files import sha256_of
from edgevl_training.ablation.earlier import read_earlier, set_aside
from edgevl_training.ablation.experiments import RowName, ROWS
from edgevl_training.ablation.measure import measure_rows, Measured
from edgevl_training.ablation.sources import Sources
from edgevl_training.ablation.tables import Ablation, as_csv, as_json, markdown
from edgevl_training.adaptation.options import find_recipe
from edgevl_training.curated_split import second_modality
from edgevl_training.errors import DatasetError
from edgevl_training.output import (
    atomic,
    MANIFEST,
    OutputFolder,
    read_manifest,
    write_json,
    write_text,
)
from edgevl_training.recipe import parse, Recipe, several_options
from pydantic import Field, model_validator

TABLES, CHART = 'tables', 'top1.png'
_RECIPE = 'recipe.yaml'
_VERBS_OF = {'pairs': 'extract', 'taught': 'teach', 'curated': 'curate'}


class AblateRecipe(Recipe):
    """
    Train and measure every variant of the paper's tables 1 and 2 on your own pairs.

    The sections distill, contrast and evaluate of --config say how; each row changes one thing.
    With --work, what edgevl adapt has made there is the start, its recipe is followed unless
    --config names another, and its students are not trained again.
    """

    out: Path = Field(description='folder to write to')
    work: Path | None = Field(None, description='work folder of edgevl adapt')
    pairs: Path | None = Field(
        None, description='output folder of edgevl extract (default: that in --work)'
    )
    taught: Path | None = Field(
        None, description='output folder of edgevl teach (default: that in --work)'
    )
    curated: Path | None = Field(
        None, description='output folder of edgevl curate (default: that in --work)'
    )
    rows: tuple[RowName, ...] = Field(
        tuple(ROWS), min_length=1, description='which rows; more can follow later, and '
        'join those that are in the tables'
    )
    seeds: tuple[int, ...] = Field(
        (), description="seeds to train with, each row with each (default: the recipe's own)"
    )
    small_teacher: str | None = Field(
        None, description='another teacher to compare with, as for edgevl teach (default: '
        'ViT-B-16 of OpenCLIP, or the smallest classifier of conse)',
    )
    vocabulary: tuple[str, ...] = Field(
        (), description='the phrases to choose among, as for edgevl evaluate (default: labels of '
        'the data set, else the pseudo-labels of its pairs)',
    )
    device: Literal['auto', 'cpu', 'cuda'] | None = Field(
        None, description='where to train, and where teachers run (default: as the recipe says)'
    )

    @model_validator(mode='after')
    def _has_sources(self) -> AblateRecipe:
        missing = [name for name in _VERBS_OF if getattr(self, name) is None]
        if self.work is None and missing:
            raise several_options(
                f'--{", --".join(missing)}: expected these folders, or --work with the work '
                'folder of edgevl adapt, found neither'
            )
        return self

    @property
    def folders(self) -> dict[str, Path]:
        """Give the folders of pairs, taught and curated."""
        work = self.work or Path()
        return {name: getattr(self, name) or work / name for name in _VERBS_OF}


def run(arguments: list[str]) -> int:
    """Ablate; 1 when a row failed."""
    from edgevl_training.cli import VERBS

    arguments, config = _with_recipe_found(arguments)
    recipe = parse(AblateRecipe, 'ablate', arguments, list(VERBS))
    config = config or _recipe_of_work(recipe.work)
    folders = recipe.folders
    sources = Sources(
        folders['pairs'], folders['taught'], folders['curated'], config, recipe.work,
        recipe.device, recipe.vocabulary,
    )
    purpose = {
        **{name: {'manifest_sha256': _identity(folder, _VERBS_OF[name])}
           for name, folder in folders.items()},
        'recipes': sources.recipes(),
    }
    sources = sources.settled()
    with OutputFolder(recipe.out, 'ablate', purpose) as output:
        ablation, failed = _ablate(recipe, sources)
        set_aside(recipe.out, TABLES, sources.measure)
        _write(recipe.out, ablation)
        # More rows and seeds may follow: this tells what lies there now.
        output.finish({
            'rows': [line.name for line in ablation.lines], 'seeds': list(ablation.seeds),
            'missing': ablation.missing,
        })
    print(f'\n{markdown(ablation)}\nwritten to {recipe.out / TABLES}.md, .csv, .json and .html')
    return int(failed)


def _ablate(recipe: AblateRecipe, sources: Sources) -> tuple[Ablation, bool]:
    """Measure what is asked for, and join it to what lies there; tell whether a row failed."""
    earlier = read_earlier(recipe.out / f'{TABLES}.json', sources.measure)
    seeds = tuple(dict.fromkeys(recipe.seeds)) or (sources.seed,)
    names = [name for name in ROWS if name in recipe.rows]
    measured = measure_rows(names, sources, seeds, recipe.out, recipe.small_teacher)
    lines = earlier.joined(measured.lines)
    found = {seed for line in lines for seed in line.asked if seed is not None}
    how = _how(measured, sources.evaluation.split) or earlier.measured
    ablation = Ablation(
        lines, tuple(sorted(found)), _second_of(recipe), how or 'Nothing could be measured.',
        sources.measure,
    )
    return ablation, any(line.problem and not line.optional for line in measured.lines)


def _with_recipe_found(arguments: Sequence[str]) -> tuple[list[str], Path | None]:
    """Put the path of the recipe where the name of one that is shipped may stand."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('--config', nargs='?', const='')
    options, rest = parser.parse_known_args(list(arguments))
    if options.config is None:
        return rest, None
    path = find_recipe(options.config)
    return [*rest, '--config', str(path)], path


def _recipe_of_work(work: Path | None) -> Path | None:
    """
    Find the recipe that ``edgevl adapt`` has followed.

    :raises DatasetError: when it left none.
    """
    if work is None:
        return None
    if not (work / _RECIPE).is_file():
        raise DatasetError(
            f'{work}: expected the work folder of "edgevl adapt" with its {_RECIPE}, found none; '
            'name that folder, or a recipe with --config'
        )
    return work / _RECIPE


def _identity(folder: Path, verb: str) -> str:
    read_manifest(folder, verb)
    return sha256_of(folder / MANIFEST)


def _second_of(recipe: AblateRecipe) -> str:
    return second_modality(read_manifest(recipe.folders['pairs'], 'extract')).name


def _how(measured: Measured, split: str) -> str:
    """Say how the numbers were measured; nothing where none were."""
    if measured.how is None:
        return ''
    how: Mapping[str, Any] = measured.how
    counts = how['counts']
    said = [
        f'All {how["pairs"]} pairs of the {split} split, confident or not, among '
        f'{len(how["vocabulary"])} phrases; students in ONNX Runtime on a CPU, one picture at a '
        'time, from the file that is deployed; latency in turns, of the rows of one run. Where '
        'several seeds were trained: mean \u00b1 sample standard deviation.',
        'The labels of the data set do nothing but measure.' if how['truth'] else
        f'These pairs have no labels: the numbers are agreement with {how["reference"]}.',
    ]
    for key, why in (
        ('near_split_border', 'near a border of the split, and training saw the same moments'),
        ('near_duplicates_of_training', 'nearly the same as a picture that training saw'),
    ):
        if counts[key]:
            said.append(f'{counts[key]} more are left out: {why}.')
    return ' '.join(said)


def _write(out: Path, ablation: Ablation) -> None:
    from edgevl_training.ablation.report import draw_chart, report_page

    chart = draw_chart(ablation)
    with atomic(out / CHART) as temporary:
        temporary.write_bytes(chart)
    write_text(out / f'{TABLES}.md', markdown(ablation))
    write_text(out / f'{TABLES}.csv', as_csv(ablation))
    write_json(out / f'{TABLES}.json', as_json(ablation))
    write_text(out / f'{TABLES}.html', report_page(ablation, chart))
