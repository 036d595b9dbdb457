# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The verb ``curate``: keep the pairs that the teacher is sure about, label and split them.

It writes shards with everything training needs, a line on every pair it saw, and a report to look
at. Nothing here reads the column ``truth``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
import hashlib
import os
from pathlib import Path
import sys
from typing import Any

from edgevl_ros.core.files import sha256_of
from edgevl_ros.core.vocabulary import Vocabulary
from edgevl_training.curation.centering import mean_embedding
from edgevl_training.curation.columns import PairColumns, read_columns
from edgevl_training.curation.recipe import CurateRecipe
from edgevl_training.curation.report import write_report
from edgevl_training.curation.selection import KEPT, REASONS, select, Selection
from edgevl_training.curation.splits import split_pairs, SPLITS, Splits
from edgevl_training.curation.superset import read_superset
from edgevl_training.curation.taught import Taught
from edgevl_training.curation.write import write_decisions, write_kept, write_superset
from edgevl_training.dataset import check_shards, Shard, shards_of
from edgevl_training.errors import DatasetError
from edgevl_training.output import MANIFEST, OutputFolder, read_manifest
from edgevl_training.progress import progress
from edgevl_training.prompts import templates_named
from edgevl_training.recipe import parse
import numpy as np


@dataclass(frozen=True)
class Inputs:
    """The folders of two earlier verbs, found to belong together."""

    pairs: tuple[Path, list[Shard]]
    taught: tuple[Path, list[Shard]]
    pairs_manifest: dict[str, Any]
    identity: dict[str, Any]
    # What the teacher was called when it embedded the pictures.
    teacher_name: str


def run(arguments: list[str]) -> int:
    """Curate; 1 when a wanted split has no pair left."""
    from edgevl_training.cli import VERBS

    recipe = parse(CurateRecipe, 'curate', arguments, list(VERBS))
    phrases = read_superset(recipe.superset)
    inputs = _open_inputs(recipe)
    purpose = {
        # The folders may be moved; what they hold is in their manifests.
        'recipe': recipe.model_dump(mode='json', exclude={'pairs', 'taught', 'out', 'teacher'}),
        **inputs.identity,
        'superset': {
            'phrases': len(phrases),
            'sha256': hashlib.sha256('\n'.join(phrases).encode()).hexdigest(),
        },
    }
    with OutputFolder(recipe.out, 'curate', purpose) as output:
        if output.finished:
            check_shards(recipe.out, read_manifest(recipe.out, 'curate'))
            print(f'{recipe.out}: finished earlier, nothing to do')
        else:
            output.finish(_curate(recipe, inputs, phrases, purpose))
    return _summarise(recipe, read_manifest(recipe.out, 'curate'))


def _open_inputs(recipe: CurateRecipe) -> Inputs:
    pairs_manifest = read_manifest(recipe.pairs, 'extract')
    taught_manifest = read_manifest(recipe.taught, 'teach')
    digest = sha256_of(recipe.pairs / MANIFEST)
    seen = taught_manifest.get('pairs', {}).get('manifest_sha256')
    if seen != digest:
        raise DatasetError(
            f'{recipe.taught}: expected the embeddings of {recipe.pairs} (manifest '
            f'{digest[:12]}), found those of other pairs (manifest {str(seen)[:12]}); run '
            '"edgevl teach" on these pairs'
        )
    teacher = _teacher_of(recipe.taught, taught_manifest)
    return Inputs(
        (recipe.pairs, shards_of(recipe.pairs, pairs_manifest)),
        (recipe.taught, shards_of(recipe.taught, taught_manifest)),
        pairs_manifest,
        {
            'pairs': {'manifest_sha256': digest},
            'taught': {'manifest_sha256': sha256_of(recipe.taught / MANIFEST)},
            'teacher': teacher,
            # None for whole pictures, as in folders of old.
            'views': taught_manifest['teacher'].get('views'),
        },
        taught_manifest['teacher'].get('name', teacher['id']),
    )


def _teacher_of(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    teacher = manifest.get('teacher')
    if not isinstance(teacher, dict) or not {'id', 'dim', 'logit_scale'} <= set(teacher):
        raise DatasetError(
            f'{folder / MANIFEST}: expected id, dim and logit_scale of the teacher, '
            f'found {teacher!r}'
        )
    return {name: teacher[name] for name in ('id', 'dim', 'logit_scale')}


def _curate(
    recipe: CurateRecipe, inputs: Inputs, phrases: Sequence[str], purpose: dict[str, Any]
) -> dict[str, Any]:
    """Judge, split, select and write; give what belongs into the manifest."""
    out = recipe.out
    superset = embed_superset(
        phrases, recipe.prompts and templates_named(recipe.prompts),
        recipe.teacher or inputs.teacher_name, inputs.identity['teacher'],
    )
    taught = Taught(
        inputs.pairs, inputs.taught, inputs.identity['teacher']['dim'], recipe.agree_seconds
    )
    total = sum(shard.rows for shard in inputs.pairs[1])

    def judged(what: str) -> PairColumns:
        with progress(what, total, 'pairs') as bar:
            return read_columns(
                inputs.pairs, taught, superset.embeddings, superset.logit_scale, bar.advance
            )

    columns = judged('judging')
    splits = split_pairs(columns.bag, columns.stamp_ns, recipe.split_rules)
    if recipe.center:
        train = splits.split == SPLITS.index('train')
        taught.take_off(recipe.center * mean_embedding(taught, columns.starts, train))
        columns = judged('judging without what all share')
    selection = select(columns, splits, recipe.selection_rules)
    with progress('writing', total, 'pairs') as bar:
        shards = write_kept(
            out, inputs.pairs, taught, columns, splits, selection, superset, bar.advance
        )
    write_decisions(
        out / 'decisions.parquet', inputs.pairs, columns, splits, selection, superset
    )
    write_superset(out / 'superset.npz', superset)
    result = {
        'second_modality': inputs.pairs_manifest.get('second_modality'),
        'paths': {
            'pairs': os.path.relpath(recipe.pairs, out),
            'taught': os.path.relpath(recipe.taught, out),
        },
        'tau': selection.tau,
        'confidence': _spread(columns.judged.confidence),
        'split_by': splits.by,
        'split_groups': splits.groups,
        'block_seconds': splits.block_s,
        'counts': count(columns, splits, selection, superset.labels),
        'shards': [asdict(shard) for shard in shards],
    }
    write_report(out, inputs.pairs, columns, splits, selection, superset, {**purpose, **result})
    return result


def embed_superset(
    phrases: Sequence[str],
    templates: Sequence[str] | None,
    name: str,
    teacher: dict[str, Any],
) -> Vocabulary:
    """
    Embed phrases with the teacher that embedded the pictures.

    :param templates: sentences around each phrase; the teacher's own unless given.
    :param name: what `open_teacher` knows it by.
    :param teacher: its id, dim and logit_scale as ``teach`` wrote them.
    :raises TeacherError: when the teacher that is opened is another one.
    """
    from edgevl_training.teachers.teacher import reopen_teacher

    opened = reopen_teacher(name, teacher)
    rows = opened.embed_texts(list(phrases), templates)
    return Vocabulary(tuple(phrases), rows, float(teacher['logit_scale']), teacher['id'])


def count(
    columns: PairColumns, splits: Splits, selection: Selection, labels: Sequence[str]
) -> dict[str, Any]:
    """Count pairs by split, reason and pseudo-label."""
    kept = selection.kept
    label, split = columns.judged.label[kept], splits.split[kept]
    table = np.zeros((len(labels), len(SPLITS)), int)
    np.add.at(table, (label, split), 1)
    in_split = np.bincount(splits.split, minlength=len(SPLITS))
    reasons = np.bincount(selection.reason, minlength=len(REASONS))
    return {
        'pairs': len(columns),
        'kept': int(reasons[KEPT]),
        'splits': {
            name: {'pairs': int(in_split[index]), 'kept': int(table[:, index].sum())}
            for index, name in enumerate(SPLITS)
        },
        'reasons': {name: int(number) for name, number in zip(REASONS, reasons)},
        'classes': {
            name: dict(zip(SPLITS, map(int, row)))
            for name, row in zip(labels, table) if row.any()
        },
    }


def _spread(confidence: np.ndarray) -> dict[str, float | None]:
    """Say how the confidences lie, to choose a tau by."""
    known = confidence[~np.isnan(confidence)]
    names = {'median': 0.5, 'upper_quarter': 0.75, 'largest': 1.0}
    return {
        name: round(float(np.quantile(known, at)), 4) if len(known) else None
        for name, at in names.items()
    }


def _summarise(recipe: CurateRecipe, manifest: dict[str, Any]) -> int:
    """Print what came out; give the exit status."""
    from rich.console import Console
    from rich.table import Table

    counts = manifest['counts']
    table = Table('split', 'pairs', 'kept', title=f'{recipe.out}: {counts["kept"]} pairs kept')
    for name in SPLITS:
        table.add_row(name, *(str(counts['splits'][name][key]) for key in ('pairs', 'kept')))
    console = Console()
    console.print(table)
    for reason, number in counts['reasons'].items():
        if number:
            print(f'{number:>8}  {reason}')
    print(f'{len(counts["classes"])} pseudo-labels, tau {manifest["tau"]:.4g}')
    print(f'report: {recipe.out / "report.html"}')
    wanted = [name for name, share in zip(SPLITS, recipe.split) if share > 0]
    empty = [name for name in wanted if not counts['splits'][name]['kept']]
    if not empty:
        return 0
    largest = manifest['confidence']['largest']
    print(
        f'edgevl curate: no pair is left for {" and ".join(empty)}: tau is '
        f'{manifest["tau"]:.4g}, the most confident of all pairs has {largest}; lower --tau, or '
        'give a larger --keep-fraction, shorter --block-seconds (for splits of few pairs) or a '
        '--superset that names the places seen; then name another --out',
        file=sys.stderr,
    )
    return 1
