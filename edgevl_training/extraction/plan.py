# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which sources there are, under which names, and how each is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgevl_training.bags import find_bags
from edgevl_training.dataset import SecondModality
from edgevl_training.errors import OutputError, SourceError
from edgevl_training.extraction.recipe import ExtractRecipe
from edgevl_training.extraction.truth import read_truth
from edgevl_training.sources.bag_source import BagOptions, BagSource
from edgevl_training.sources.layouts import open_layout
from edgevl_training.sources.source import Source


@dataclass(frozen=True)
class PlannedSource:
    """
    A source to extract: the ``number``-th of a path, for a folder of images may hold several.

    ``group`` names the path among all paths. ``refused`` says why the source cannot be used; then
    ``modality`` is None.
    """

    path: Path
    number: int
    group: str
    name: str
    size_bytes: int = 0
    fingerprint: str = ''
    refused: str | None = None
    modality: SecondModality | None = None

    def identity(self) -> dict[str, Any]:
        """Give what tells this source from another."""
        return {
            'name': self.name,
            'path': str(self.path.resolve()),
            'fingerprint': self.fingerprint,
            'size_bytes': self.size_bytes,
            'refused': self.refused,
        }


def plan_sources(recipe: ExtractRecipe) -> list[PlannedSource]:
    """
    Look at every source once.

    :raises SourceError: when none can be used, or their second modalities differ.
    :raises OutputError: when the output would lie inside a source.
    """
    paths = find_bags(recipe.bags) if recipe.bags else recipe.images
    paths = list({path.resolve(): path for path in paths}.values())
    _check_out(recipe.out, paths)
    groups = unique_names(paths)
    planned = [source for path, name in zip(paths, groups) for source in _plan(recipe, path, name)]
    if all(source.refused for source in planned):
        raise SourceError('\n'.join(str(source.refused) for source in planned))
    twice = [name for name, count in Counter(s.name for s in planned).items() if count > 1]
    if twice:
        raise SourceError(
            f'expected each source once, found {", ".join(twice)} in more than one place; extract '
            'them into folders of their own'
        )
    if recipe.modality == 'both':
        _check_modalities(planned)
    return planned


def _check_out(out: Path, sources: Sequence[Path]) -> None:
    for source in sources:
        if out.resolve().is_relative_to(source.resolve()):
            raise OutputError(
                f'{out}: expected an --out outside of the sources, found it inside {source}; name '
                'another'
            )


def _check_modalities(planned: Sequence[PlannedSource]) -> None:
    names: dict[SecondModality, list[str]] = {}
    for source in planned:
        if source.modality:
            names.setdefault(source.modality.stored, []).append(source.name)
    if len(names) > 1:
        found = ', '.join(f'{kind} in {" and ".join(bags)}' for kind, bags in names.items())
        raise SourceError(
            f'expected one kind of second modality in a data set, found {found}; extract each '
            'kind into its own folder'
        )


def open_source(recipe: ExtractRecipe, planned: PlannedSource) -> Source:
    """
    Open a source that was planned.

    :raises SourceError: when it cannot be used, naming the remedy.
    """
    if recipe.images:
        return _open_images(recipe, planned.path, planned.group)[planned.number]
    return _open_bag(recipe, planned.path, planned.group)


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Name each path by its last parts: as few as tell it from all others."""
    parts = [_parts(path) for path in paths]
    lengths = [1] * len(paths)
    while True:
        names = ['/'.join(p[-n:]) for p, n in zip(parts, lengths)]
        counts = Counter(names)
        longer = [
            min(n + 1, len(p)) if counts[name] > 1 else n
            for p, n, name in zip(parts, lengths, names)
        ]
        if longer == lengths:
            return names
        lengths = longer


def _parts(path: Path) -> list[str]:
    """Give the parts of a path by which people tell bags apart: without suffix of the file."""
    resolved = path.resolve()
    last = resolved.name
    while resolved.is_file() and Path(last).suffix in _BAG_SUFFIXES:
        last = Path(last).stem
    return [*resolved.parent.parts[1:], last or resolved.name]


_BAG_SUFFIXES = frozenset(['.bag', '.db3', '.mcap', '.zstd', '.lz4'])


def _plan(recipe: ExtractRecipe, path: Path, group: str) -> list[PlannedSource]:
    try:
        sources: list[Source] = (
            _open_images(recipe, path, group) if recipe.images else
            [_open_bag(recipe, path, group)]
        )
        return [
            PlannedSource(
                path, number, group, source.name, source.size_bytes, source.fingerprint(),
                modality=source.modality,
            ) for number, source in enumerate(sources)
        ]
    except SourceError as error:
        return [PlannedSource(path, 0, group, group, refused=str(error))]


def _open_bag(recipe: ExtractRecipe, path: Path, name: str) -> Source:
    return BagSource(path, name, BagOptions(
        rgb_topic=recipe.rgb_topic, depth_topic=recipe.depth_topic, modality=recipe.modality,
        max_skew_s=recipe.max_skew, max_wait_s=recipe.max_wait,
        allow_unregistered=recipe.allow_unregistered,
    ), read_truth(recipe.truth, name))


@lru_cache(maxsize=1)
def _open_images(recipe: ExtractRecipe, path: Path, group: str) -> list[Source]:
    """Open a folder once for its many sources: listing it may take long."""
    options = recipe.layout_options()
    if recipe.modality == 'rgb' and recipe.layout == 'folder':
        options['second_dir'] = ''
    return open_layout(recipe.layout, path, name=group, **options)
