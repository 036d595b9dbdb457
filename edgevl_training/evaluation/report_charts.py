# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The charts in the report of ``evaluate``."""

from __future__ import annotations

from collections.abc import Mapping

from edgevl_training.evaluation.embedding_map import flatten
from edgevl_training.evaluation.pairs import FUSED, RGB, SECOND
from edgevl_training.evaluation.results import Evaluated, Result, Score
from edgevl_training.evaluation.scores import per_class
from edgevl_training.report import comparison_charts as charts
from edgevl_training.report.maps import point_map
from edgevl_training.report.style import DEPLOYED_COLOUR, STUDENT_COLOURS, TEACHER_COLOURS
import numpy as np


def modality_names(evaluated: Evaluated) -> dict[str, str]:
    """Name the modalities that were measured, for people."""
    names = {RGB: 'colour', SECOND: evaluated.pairs.modality.name, FUSED: 'both fused'}
    return {key: names[key] for key in evaluated.modalities}


def colours_of(evaluated: Evaluated) -> dict[str, str]:
    """Give every model its colour in all charts."""
    teachers = [result.name for result in evaluated.results if result.is_teacher]
    students = [result.name for result in evaluated.results if not result.is_teacher]
    colours = {n: TEACHER_COLOURS[i % len(TEACHER_COLOURS)] for i, n in enumerate(teachers)}
    colours |= {n: STUDENT_COLOURS[i % len(STUDENT_COLOURS)] for i, n in enumerate(students)}
    if evaluated.deployed:
        colours[evaluated.deployed.name] = DEPLOYED_COLOUR
    return colours


def draw_charts(evaluated: Evaluated) -> dict[str, bytes]:
    """Draw every chart that the data allow: name of the file -> PNG."""
    names, colours = modality_names(evaluated), colours_of(evaluated)
    measure = evaluated.reference.measure
    pictures = {
        'result': charts.shares(
            f'{measure.capitalize()} (top-1) with its 95 % interval',
            {name: _shares(evaluated, key) for key, name in names.items()}, colours, measure,
        ),
        'angle': charts.distributions(
            'Angle between image and the words of its label: smaller is better',
            {name: _angles(evaluated, key) for key, name in names.items()}, colours,
            'degrees', '\u00b0',
        ),
        'calibration': _calibration(evaluated, names, colours),
        'map': _map(evaluated, names),
    }
    for key, name in names.items():
        pictures[f'per_class_{key}'] = _per_class(evaluated, key, name, colours)
        for result in evaluated.results:
            if key in result.scores:
                pictures[confusion_name(result, key)] = _matrix(evaluated, result, key, name)
    return pictures


def confusion_name(result: Result, modality: str) -> str:
    """Name the picture of a confusion matrix."""
    return f'confusion_{result.name}_{modality}'


def _shares(evaluated: Evaluated, modality: str) -> dict[str, charts.Share]:
    return {
        result.name: charts.Share(one.top1, *one.interval)
        for result in evaluated.results if (one := result.scores.get(modality))
    }


def _angles(evaluated: Evaluated, modality: str) -> dict[str, np.ndarray]:
    mask = evaluated.masks[modality]
    return {
        result.name: result.said[modality].angle_deg[mask]
        for result in evaluated.results if modality in result.said
    }


def _calibration(
    evaluated: Evaluated, names: Mapping[str, str], colours: Mapping[str, str]
) -> bytes:
    def bins(result: Result, key: str, name: str) -> charts.Bins | None:
        one = result.scores.get(key)
        if one is None:
            return None
        found = one.reliability
        return charts.Bins(
            f'{result.name}, {name}', found.count, found.confidence, found.right, found.error,
            colours[result.name],
        )

    return charts.reliability_diagrams(
        'How honest the probabilities are',
        [[bins(result, key, name) for result in evaluated.results]
         for key, name in names.items()],
        'said probability', f'real {evaluated.reference.measure}',
    )


def _order(evaluated: Evaluated, modality: str) -> list[int]:
    """Give the labels that occur, the most frequent first."""
    occurs = _score_of(evaluated, modality).confusion.sum(1)
    return [i for i in np.argsort(-occurs, kind='stable').tolist() if occurs[i]]


def _score_of(evaluated: Evaluated, modality: str) -> Score:
    return next(r.scores[modality] for r in evaluated.results if modality in r.scores)


def _per_class(
    evaluated: Evaluated, key: str, name: str, colours: Mapping[str, str]
) -> bytes:
    order, labels = _order(evaluated, key), evaluated.reference.labels
    occurs = _score_of(evaluated, key).confusion.sum(1)
    return charts.class_shares(
        f'Per label, by {name}',
        [f'{labels[i]} ({occurs[i]})' for i in order],
        {
            result.name: (per_class(one.confusion)[order], colours[result.name])
            for result in evaluated.results if (one := result.scores.get(key))
        },
        f'{evaluated.reference.measure} (number of pairs behind each label)',
    )


def _matrix(evaluated: Evaluated, result: Result, key: str, name: str) -> bytes:
    counts = result.scores[key].confusion
    rows = _order(evaluated, key)
    # Labels that are said of something although they are nowhere right.
    columns = [*rows, *(i for i in np.flatnonzero(counts.sum(0)).tolist() if i not in rows)]
    labels = evaluated.reference.labels
    is_truth = evaluated.reference.is_truth
    truth = 'label of the data set' if is_truth else "teacher's label of colour"
    return charts.matrix(
        f'{result.name} by {name}', counts[np.ix_(rows, columns)], [labels[i] for i in rows],
        [labels[i] for i in columns], truth, 'said by the model',
    )


def _map(evaluated: Evaluated, names: Mapping[str, str]) -> bytes:
    result = evaluated.shown
    found = flatten(evaluated, result)
    occurs = _score_of(evaluated, evaluated.modalities[0]).confusion.sum(1)
    return point_map(
        f'How {result.name} sees {found.pairs} pairs',
        {names[key]: part for key, part in found.images.items()},
        (found.words, evaluated.reference.labels), occurs,
    )
