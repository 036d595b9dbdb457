# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The report of ``curate``: what was kept and dropped, at which confidence, and how it looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgevl_ros.core.vocabulary import Vocabulary
from edgevl_training.curation.columns import PairColumns
from edgevl_training.curation.report_charts import Curated, draw_charts, modality_of, percent
from edgevl_training.curation.samples import choose, colourise, decode_color, fetch
from edgevl_training.curation.selection import REASONS, Selection
from edgevl_training.curation.splits import SPLITS, Splits
from edgevl_training.dataset import Shard
from edgevl_training.output import atomic, tool_versions, write_text
from edgevl_training.report import page
from edgevl_training.report.cards import Card, cards, sheet
from edgevl_training.report.style import DROPPED, SPLIT_COLOURS
import numpy as np

CARDS = 12
_NS = 1e9


def write_report(
    out: Path,
    pairs: tuple[Path, Sequence[Shard]],
    columns: PairColumns,
    splits: Splits,
    selection: Selection,
    superset: Vocabulary,
    manifest: dict[str, Any],
) -> None:
    """Write report.html, and its pictures once more as PNG files in the folder report."""
    curated = Curated(pairs, columns, splits, selection, superset, manifest)
    folder = out / 'report'
    folder.mkdir(exist_ok=True)
    pictures = draw_charts(curated)
    sheets = _sheets(curated)
    for name, png in pictures.items():
        _write_png(folder / f'{name}.png', png)
    for name, (title, _, items) in sheets.items():
        if items:
            _write_png(folder / f'{name}.png', sheet(title, items))
    write_text(out / 'report.html', _page(curated, pictures, sheets))


def _write_png(path: Path, png: bytes) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(png)


def _page(
    curated: Curated,
    pictures: dict[str, bytes],
    sheets: dict[str, tuple[str, str, list[Card]]],
) -> str:
    counts = curated.manifest['counts']
    pieces = [page.facts(_facts(curated)), page.paragraph(_about_tau(curated)), page.side_by_side([
        page.figure(pictures['confidence'], 'histogram of the confidence'),
        page.figure(pictures['kept_over_tau'], 'share of pairs kept over the threshold'),
    ])]
    pieces += [page.heading('Why pairs were kept or dropped'), page.table(
        ['reason', 'pairs', *SPLITS], _reason_rows(curated),
    )]
    pieces += [
        page.heading('Splits'),
        page.paragraph(_about_splits(curated)),
        page.table(
            ['split', 'pairs', 'kept', 'share of the kept'],
            [
                (name, of['pairs'], of['kept'], percent(of['kept'], counts['kept']))
                for name, of in counts['splits'].items()
            ],
        ),
        page.figure(pictures['strips'], 'the bags along time, coloured by split'),
    ]
    pieces += [
        page.heading('Pseudo-labels'),
        *_about_labels(curated),
        page.figure(pictures['classes'], 'pairs of each pseudo-label, kept and dropped'),
    ]
    for title, note, items in sheets.values():
        if items:
            pieces += [page.heading(title), page.paragraph(note), cards(items)]
    pieces += [page.heading('The recordings'), page.side_by_side([
        page.figure(pictures[name], name) for name in ('skew', 'coverage', 'sharpness')
        if name in pictures
    ])]
    pieces += [
        page.heading('Recipe and lineage'), page.table(['what', 'value'], _lineage(curated)),
    ]
    lead = (
        f'{counts["kept"]:,} of {counts["pairs"]:,} pairs kept, judged by '
        f'{curated.superset.teacher} with {len(curated.superset.labels)} phrases.'
    )
    return page.page('What was kept for training', lead, pieces)


def _facts(curated: Curated) -> list[tuple[str, str]]:
    counts = curated.manifest['counts']
    depth = np.isfinite(curated.columns.coverage[curated.selection.kept])
    return [
        (f'{counts["kept"]:,}', f'pairs kept of {counts["pairs"]:,}'),
        (percent(counts['kept'], counts['pairs']), 'of all pairs'),
        (f'{curated.selection.tau:.3g}', 'tau, the least confidence kept'),
        (str(len(counts['classes'])), f'labels kept, of {len(curated.superset.labels)} phrases'),
        (str(len(curated.columns.bags)), 'bag' if len(curated.columns.bags) == 1 else 'bags'),
        (percent(int(depth.sum()), len(depth)), f'of the kept have {modality_of(curated).name}'),
    ]


def _reason_rows(curated: Curated) -> list[tuple[str | int, ...]]:
    rows: list[tuple[str | int, ...]] = []
    for index, name in enumerate(REASONS):
        split = curated.splits.split[curated.selection.reason == index]
        if len(split):
            rows.append((name, len(split), *map(int, np.bincount(split, minlength=len(SPLITS)))))
    return rows


def _about_splits(curated: Curated) -> str:
    recipe = curated.manifest['recipe']
    if curated.splits.by == 'bag':
        how = f'Whole bags ({curated.splits.groups}) make the splits'
    else:
        how = (
            f'{curated.splits.groups} blocks of {curated.splits.block_s:g} s make the splits, '
            f'with {recipe["gap_seconds"]:g} s between them at least'
        )
    return how + '. They were made from bags and stamps alone, before any pair was judged.'


def _about_labels(curated: Curated) -> list[page.Html]:
    given = set(np.unique(curated.columns.judged.label).tolist())
    never = [name for i, name in enumerate(curated.superset.labels) if i not in given]
    if not never:
        return [page.paragraph('Every phrase was the most likely one of some pair.')]
    return [page.folded(
        f'{len(never)} of {len(curated.superset.labels)} phrases were never the most likely',
        ', '.join(never),
    )]


def _about_tau(curated: Curated) -> str:
    fraction = curated.manifest['recipe']['keep_fraction']
    if fraction is None:
        return f'Tau was given: pairs below {curated.selection.tau:g} are dropped.'
    return (
        f'Tau is where the most confident {fraction:.0%} of the training pairs begin; validation '
        'and test obey the same tau, and nothing is fitted to them.'
    )


def _lineage(curated: Curated) -> list[tuple[str, str]]:
    manifest = curated.manifest
    rows = [(f'--{name.replace("_", "-")}', _plain(v)) for name, v in manifest['recipe'].items()]
    rows += [
        ('teacher', _plain(manifest['teacher'])),
        ('superset', _plain(manifest['superset'])),
        ('pairs', f'{manifest["paths"]["pairs"]}, manifest {_plain(manifest["pairs"])}'),
        ('taught', f'{manifest["paths"]["taught"]}, manifest {_plain(manifest["taught"])}'),
        ('second modality', _plain(manifest['second_modality'])),
        ('made with', ', '.join(f'{name} {version}' for name, version in tool_versions().items())),
    ]
    return rows


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ', '.join(f'{name} {_plain(item)}' for name, item in value.items())
    if isinstance(value, list):
        return ' '.join(map(str, value))
    return 'not given' if value is None else str(value)


def _sheets(curated: Curated) -> dict[str, tuple[str, str, list[Card]]]:
    """Choose the pairs of each contact sheet: name -> (title, what it shows, cards)."""
    confidence = curated.columns.judged.confidence
    kept = np.flatnonzero(curated.selection.kept)
    dropped = np.flatnonzero(~curated.selection.kept & np.isfinite(confidence))
    rising = {'kept': kept[np.argsort(confidence[kept])],
              'dropped': dropped[np.argsort(confidence[dropped])]}
    plans = {
        'most_confident_kept': (
            'Most confident, kept', 'If a label is wrong here, the teacher or the superset is.',
            rising['kept'][::-1],
        ),
        'least_confident_kept': (
            'Least confident, kept', 'Just above tau. If many are wrong, raise it.',
            rising['kept'],
        ),
        'most_confident_dropped': (
            'Most confident, dropped', 'If these are worth keeping, lower tau, or look at the '
            'reason below each.', rising['dropped'][::-1],
        ),
        'least_confident_dropped': (
            'Least confident, dropped', 'What the teacher could make nothing of.',
            rising['dropped'],
        ),
    }
    chosen = {name: choose(curated.columns, plan[2], CARDS) for name, plan in plans.items()}
    encoded = fetch(
        curated.pairs, curated.columns.starts, [row for rows in chosen.values() for row in rows]
    )
    return {
        name: (plan[0], f'{plan[1]} Few of a label, no view twice.', [
            _card(curated, row, encoded[row]) for row in chosen[name]
        ])
        for name, plan in plans.items()
    }


def _card(curated: Curated, row: int, encoded: tuple[bytes, bytes | None]) -> Card:
    columns = curated.columns
    label = columns.judged.label[row]
    split = SPLITS[curated.splits.split[row]]
    kept = bool(curated.selection.kept[row])
    color, second = encoded
    return Card(
        curated.superset.labels[label], float(columns.judged.confidence[row]),
        f'{split if kept else REASONS[curated.selection.reason[row]]}, margin '
        f'{columns.judged.margin[row]:.2f}, {columns.bags[columns.bag[row]]} at '
        f'{columns.stamp_ns[row] / _NS:.3f}',
        decode_color(color),
        None if second is None else colourise(second, modality_of(curated)),
        SPLIT_COLOURS[split] if kept else DROPPED,
    )
