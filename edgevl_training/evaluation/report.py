# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The report of ``evaluate``: report.html, and its pictures as PNG files in the folder report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgevl_training.evaluation import report_texts as texts
from edgevl_training.evaluation.mistakes import frequent_confusions, worst_mistakes
from edgevl_training.evaluation.pairs import FUSED
from edgevl_training.evaluation.report_charts import (
    confusion_name,
    draw_charts,
    modality_names,
)
from edgevl_training.evaluation.results import Evaluated
from edgevl_training.output import atomic, write_text
from edgevl_training.report import page
from edgevl_training.report.cards import Card, cards, sheet
from edgevl_training.report.page import Html

# Of the pixels of a picture; more would be coarse.
_ON_PAGE = 0.8

Section = tuple[str, str, list[Html]]


def write_report(out: Path, evaluated: Evaluated, manifest: Mapping[str, Any]) -> None:
    """Write the report; a short one when no picture could be measured."""
    pictures: dict[str, bytes] = {}
    sections: list[Section] = []
    if evaluated.masks:
        pictures = draw_charts(evaluated)
        mistakes = _mistakes(evaluated)
        pictures |= {
            f'mistakes_{key}': sheet(texts.mistakes_title(evaluated, key), items)
            for key, items in mistakes.items() if items
        }
        sections = _sections(evaluated, pictures, mistakes)
    sections.append(('lineage', 'What was measured, and how', _lineage(evaluated, manifest)))
    folder = out / 'report'
    folder.mkdir(exist_ok=True)
    for name, png in pictures.items():
        with atomic(folder / f'{name}.png') as temporary:
            temporary.write_bytes(png)
    write_text(out / 'report.html', _page(evaluated, sections))


def _page(evaluated: Evaluated, sections: Sequence[Section]) -> str:
    pieces = [page.contents([(anchor, title) for anchor, title, _ in sections])]
    if not evaluated.reference.is_truth:
        pieces.append(page.notice(texts.no_truth(evaluated)))
    if evaluated.masks:
        pieces.append(page.facts(texts.facts(evaluated)))
    else:
        pieces.append(page.notice('No picture could be measured; see skipped.csv.'))
    for anchor, title, section in sections:
        pieces += [page.heading(title, anchor), *section]
    return page.page(texts.title(evaluated), texts.lead(evaluated), pieces)


def _mistakes(evaluated: Evaluated) -> dict[str, list[Card]]:
    return {
        key: worst_mistakes(evaluated, evaluated.shown, key)
        for key in evaluated.modalities if key != FUSED and key in evaluated.shown.scores
    }


def _sections(
    evaluated: Evaluated, pictures: Mapping[str, bytes], mistakes: Mapping[str, Sequence[Card]]
) -> list[Section]:
    title = f'{evaluated.reference.measure.capitalize()} of every model'
    sections = [('result', title, _result(evaluated, pictures))]
    if evaluated.paired:
        sections.append((
            'compared', f'Is {evaluated.shown.name} really better?', _compared(evaluated)
        ))
    sections += [
        ('labels', 'Label by label', [
            page.paragraph(texts.about_labels()), *_labels(evaluated, pictures),
        ]),
        ('confusion', 'What is taken for what', _confusion(evaluated, pictures)),
        ('calibration', 'Can the probability be trusted?', [
            page.paragraph(texts.about_calibration(evaluated)),
            _figure(pictures, 'calibration', 'reliability diagrams of every model'),
        ]),
        ('angle', 'Angle between image and words', [
            page.paragraph(texts.about_angle(evaluated)),
            _figure(pictures, 'angle', 'distribution of the angle for every model'),
        ]),
        ('map', 'Map of the embeddings', [
            page.paragraph(texts.about_map(evaluated)),
            _figure(pictures, 'map', 'embeddings in two dimensions, coloured by label'),
        ]),
    ]
    for key, items in mistakes.items():
        if items:
            sections.append((f'mistakes-{key}', texts.mistakes_title(evaluated, key), [
                page.paragraph(texts.about_mistakes(evaluated)), cards(items),
            ]))
    return sections


def _result(evaluated: Evaluated, pictures: Mapping[str, bytes]) -> list[Html]:
    return [
        _figure(pictures, 'result', 'top-1 of every model with its interval'),
        page.table(*texts.result_table(evaluated), compact=True),
        page.paragraph(texts.about_result(evaluated)),
    ]


def _compared(evaluated: Evaluated) -> list[Html]:
    return [
        page.paragraph(texts.about_comparison(evaluated)),
        page.table(*texts.comparison_table(evaluated), compact=True),
    ]


def _labels(evaluated: Evaluated, pictures: Mapping[str, bytes]) -> list[Html]:
    figures = {
        key: _figure(pictures, f'per_class_{key}', f'each label by {name}')
        for key, name in modality_names(evaluated).items()
    }
    fused = [figures.pop(key) for key in (FUSED,) if key in figures]
    return [*figures.values(), *(page.hidden('Both fused', [one]) for one in fused)]


def _confusion(evaluated: Evaluated, pictures: Mapping[str, bytes]) -> list[Html]:
    names, shown = modality_names(evaluated), evaluated.shown
    pieces, more = [page.paragraph(texts.about_confusion(evaluated))], []
    for result in (shown, *(other for other in evaluated.results if other is not shown)):
        for key in result.scores:
            drawn = _figure(
                pictures, confusion_name(result, key),
                f'confusion matrix of {result.name} by {names[key]}',
            )
            if result is not shown or key == FUSED:
                more.append(drawn)
                continue
            rows = frequent_confusions(evaluated, shown, key)
            pieces += [drawn, page.table(
                [f'most frequent, by {names[key]}', 'taken for', 'pairs'], rows, compact=True
            )]
    return [*pieces, page.hidden('Other models, and both fused', more)] if more else pieces


def _lineage(evaluated: Evaluated, manifest: Mapping[str, Any]) -> list[Html]:
    pieces = [page.table(*texts.lineage_table(evaluated, manifest))]
    if evaluated.skipped:
        pieces.append(page.hidden(
            f'{len(evaluated.skipped)} pictures skipped',
            [page.table(['pair', 'why'], evaluated.skipped[:200])],
        ))
    return pieces


def _figure(pictures: Mapping[str, bytes], name: str, what: str) -> Html:
    # Pictures of few labels stay small: width in pixels, from the header of the PNG.
    drawn = int.from_bytes(pictures[name][16:20], 'big')
    return page.figure(pictures[name], what, widest=round(drawn * _ON_PAGE))
