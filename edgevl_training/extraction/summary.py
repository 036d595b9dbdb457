# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What ``extract`` prints at its end: how many pairs, what was left out, and what would help."""

from __future__ import annotations

from collections.abc import Collection, Iterator
import csv
from pathlib import Path
from typing import Any

from edgevl_training.extraction.journal import LEFT_OUT
from edgevl_training.extraction.recipe import ExtractRecipe
from edgevl_training.extraction.selection import (
    ABOVE_RATE,
    BLURRED,
    NEAR_DUPLICATE,
    TOO_LITTLE_DEPTH,
)
from edgevl_training.output import SKIPPED

# Left out because an option says so; a run that gave pairs needs no example of these.
_AS_ASKED = frozenset([ABOVE_RATE, BLURRED, NEAR_DUPLICATE, TOO_LITTLE_DEPTH])
_REMEDIES = {
    ABOVE_RATE: '--rate takes more of them',
    BLURRED: 'lower --min-sharpness',
    NEAR_DUPLICATE: 'lower --near-duplicates',
    TOO_LITTLE_DEPTH: 'lower --min-depth-coverage',
    'unusable depth': '--modality rgb takes colour alone',
}
_REMEDIES_OF_BAGS = {
    'lone colour': '--max-skew pairs what is farther apart, --modality rgb takes colour alone',
    'lone depth': '--max-skew pairs what is farther apart',
    'came after its partner was given up': '--max-wait waits longer',
}
_REMEDIES_OF_IMAGES = {
    'lone colour': '--second-dir names the folder of depth, --modality rgb takes colour alone',
}
_MOST_EXAMPLES = 10
_LONGEST_DETAIL = 500


def lines_of(recipe: ExtractRecipe, manifest: dict[str, Any]) -> Iterator[str]:
    """Give the summary of a finished extraction, line by line."""
    counts, speed = manifest['counts'], manifest['speed']
    yield f'{recipe.out}: {counts["pairs"]} pairs in {len(manifest["shards"])} shards'
    skew, coverage = counts['skew_ms'], counts['depth_coverage']
    if skew:
        yield f'  skew: median {skew["median"]:.2f} ms, 95 % within {skew["p95"]:.2f} ms'
    if coverage:
        kind = manifest['second_modality']['name']
        yield (f'  pixels with a {kind} reading: median {coverage["median"]:.1%}, 5 % of pairs '
               f'below {coverage["p5"]:.1%}')
    if recipe.truth or counts['with_truth']:
        hint = '' if counts['with_truth'] else (
            '; its stamps have to be those of the colour images, and its bags the names below'
        )
        yield f'  truth: known of {counts["with_truth"]} of {counts["pairs"]} pairs{hint}'
    skipped = counts['skipped']
    yield (f'  left out: {listed(skipped) or "nothing"}'
           f'{f" ({SKIPPED} lists each)" if skipped else ""}')
    yield from examples(recipe, skipped.keys() - _AS_ASKED)
    for source in manifest['by_source']:
        yield from _about(source)
    yield f'  {speed["mb_per_s"]} MB/s over {speed["seconds"]} s'


def lines_of_nothing(recipe: ExtractRecipe, result: dict[str, Any]) -> Iterator[str]:
    """Say why there is not one pair."""
    skipped = result['counts']['skipped']
    yield ('edgevl extract: not one pair could be extracted: '
           f'{listed(skipped) or "the sources hold no pair"}')
    yield from examples(recipe, skipped.keys())
    for source in result['by_source']:
        yield from _about(source)
    if skipped:
        yield f'  {recipe.out / SKIPPED} lists each'


def examples(recipe: ExtractRecipe, reasons: Collection[str]) -> Iterator[str]:
    """Give the first item that was left out for each reason, with its remedy if there is one."""
    remedies = _REMEDIES | (_REMEDIES_OF_BAGS if recipe.bags else _REMEDIES_OF_IMAGES)
    # Of a source that was left out, its own line says more.
    for row in _first_rows(recipe.out / SKIPPED, set(reasons) - {LEFT_OUT}):
        where = f'{row["bag"]}: {row["item"]}' if row['item'] else row['bag']
        detail = f': {row["detail"][:_LONGEST_DETAIL]}' if row['detail'] else ''
        remedy = remedies.get(row['reason'])
        yield f'    {row["reason"]}, for example {where}{detail}{f"; {remedy}" if remedy else ""}'


def listed(skipped: dict[str, int]) -> str:
    """Join counts by reason."""
    return ', '.join(f'{count} {reason}' for reason, count in skipped.items())


def _first_rows(path: Path, reasons: set[str]) -> Iterator[dict[str, str]]:
    if not reasons or not path.is_file():
        return
    told = 0
    with path.open(newline='', encoding='utf-8') as file:
        for row in csv.DictReader(file):
            if row['reason'] in reasons:
                reasons.remove(row['reason'])
                yield row
                told += 1
            if not reasons or told == _MOST_EXAMPLES:
                return


def _about(source: dict[str, Any]) -> Iterator[str]:
    """Say what a person should know of one source."""
    name = source['name']
    if source['topics']:
        color, depth = (source['topics'][kind] for kind in ('rgb', 'depth'))
        yield f'  {name}: topics: colour {color}{f", depth {depth}" if depth else ""}'
    if source['refused']:
        yield f'  left out: {source["refused"]}'
    for note in source['notes']:
        yield f'  {name}: {note}'
    losses = source['losses']
    for loss in losses[:10]:
        yield f'  {name}: lost {loss["what"]} at {loss["where"]}: {loss["why"]}'
    if len(losses) > 10:
        yield f'  {name}: and {len(losses) - 10} more losses, see {SKIPPED}'
