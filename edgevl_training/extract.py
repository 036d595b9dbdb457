# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb ``extract``: bags or image folders -> pairs of colour and depth in Parquet shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import reduce
import hashlib
from operator import add
from pathlib import Path
import shutil
import sys
import time
from typing import Any

from edgevl_training.dataset import check_shards, SecondModality
from edgevl_training.errors import OutputError
from edgevl_training.extraction.journal import (
    Journal,
    SKIPPED_COLUMNS,
    skipped_path,
    WORK_FOLDER,
)
from edgevl_training.extraction.plan import plan_sources, PlannedSource
from edgevl_training.extraction.recipe import ExtractRecipe
from edgevl_training.extraction.summary import lines_of, lines_of_nothing
from edgevl_training.extraction.tally import Tally
from edgevl_training.extraction.workers import extract_all
from edgevl_training.output import atomic, IN_PROGRESS, OutputFolder, read_manifest, SKIPPED
from edgevl_training.progress import progress
from edgevl_training.recipe import parse

# These decide how the work is done, or are told with the sources.
_NOT_CONTENT = {'out', 'bags', 'images', 'workers'}


def run(arguments: Sequence[str]) -> int:
    """Extract as the options say; give 1 when nothing could be extracted, else 0."""
    from edgevl_training.cli import VERBS

    recipe = parse(ExtractRecipe, 'extract', arguments, tuple(VERBS))
    planned = plan_sources(recipe)
    for source in planned:
        if source.refused:
            print(f'left out: {source.refused}', file=sys.stderr)
    try:
        return _run(recipe, planned)
    except OSError as error:
        raise OutputError(
            f'edgevl extract: stopped: {error}; mend that, and the same command goes on from there'
        ) from error


def _run(recipe: ExtractRecipe, planned: list[PlannedSource]) -> int:
    with OutputFolder(recipe.out, 'extract', _purpose(recipe, planned)) as folder:
        if folder.finished:
            check_shards(recipe.out, read_manifest(recipe.out, 'extract'))
            print(f'{recipe.out}: finished earlier, nothing to do')
        else:
            tally, result = _extract(recipe, planned)
            if not tally.pairs:
                print(*lines_of_nothing(recipe, result), sep='\n', file=sys.stderr)
                _free(recipe.out)
                return 1
            folder.finish(result)
        shutil.rmtree(recipe.out / WORK_FOLDER, ignore_errors=True)
    print(*lines_of(recipe, read_manifest(recipe.out, 'extract')), sep='\n')
    return 0


def _free(out: Path) -> None:
    """Leave the folder to another try, with nothing in it but why this one gave nothing."""
    shutil.rmtree(out / WORK_FOLDER)
    (out / IN_PROGRESS).unlink()


def _purpose(recipe: ExtractRecipe, planned: Sequence[PlannedSource]) -> dict[str, Any]:
    content = recipe.model_dump(mode='json', exclude=_NOT_CONTENT)
    truth = recipe.truth.read_bytes() if recipe.truth else None
    return {
        'recipe': content,
        'sources': [source.identity() for source in planned],
        'truth_sha256': hashlib.sha256(truth).hexdigest() if truth is not None else None,
    }


def _extract(
    recipe: ExtractRecipe, planned: list[PlannedSource]
) -> tuple[Tally, dict[str, Any]]:
    """Extract all sources; give what goes into the manifest."""
    (recipe.out / WORK_FOLDER).mkdir(exist_ok=True)
    started_s = time.monotonic()
    size_mb = sum(source.size_bytes for source in planned) / 1e6
    with progress('extract', size_mb, 'MB') as shown:
        journals = extract_all(recipe, planned, shown)
    seconds = time.monotonic() - started_s
    _join_skipped(recipe.out, len(planned))
    tally = reduce(add, (journal.tally for journal in journals), Tally())
    modality = next((source.modality for source in planned if source.modality), SecondModality())
    return tally, {
        'second_modality': asdict(modality.stored) if recipe.modality == 'both' else None,
        'counts': tally.summary(),
        'by_source': [
            _result(source, journal) for source, journal in zip(planned, journals)
        ],
        'shards': [asdict(shard) for journal in journals for shard in journal.shards],
        # Of the last run; what an earlier one had finished costs this one nothing.
        'speed': {'seconds': round(seconds, 2), 'mb_per_s': round(size_mb / seconds, 1)},
    }


def _result(source: PlannedSource, journal: Journal) -> dict[str, Any]:
    return {
        'name': source.name,
        **journal.tally.summary(),
        'topics': journal.topics or None,
        'losses': journal.losses,
        'notes': journal.notes,
        'refused': journal.refused,
    }


def _join_skipped(out: Path, sources: int) -> None:
    """Make one list of skipped items out of those of the sources, in their order."""
    with atomic(out / SKIPPED) as temporary, temporary.open('wb') as joined:
        joined.write((','.join(SKIPPED_COLUMNS) + '\n').encode())
        for index in range(sources):
            part = skipped_path(out, index)
            if part.is_file():
                with part.open('rb') as file:
                    shutil.copyfileobj(file, joined)
