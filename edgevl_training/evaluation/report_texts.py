# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The words and tables in the report of ``evaluate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import math
from typing import Any

from edgevl_training.evaluation.pairs import RGB, SECOND
from edgevl_training.evaluation.report_charts import modality_names
from edgevl_training.evaluation.results import Evaluated, Result, Score
from edgevl_training.evaluation.scores import Paired
from edgevl_training.output import tool_versions

# Below this a difference is called real.
_SIGNIFICANT = 0.05

Table = tuple[list[str], list[tuple[str, ...]]]


def title(evaluated: Evaluated) -> str:
    """Give the title of the page."""
    what = 'How well the models name what they see'
    return what if evaluated.reference.is_truth else f'{what}: agreement with the teacher'


def lead(evaluated: Evaluated) -> str:
    """Say in a sentence what was measured."""
    pairs, reference = evaluated.pairs, evaluated.reference
    students = sum(not result.is_teacher for result in evaluated.results)
    teachers = len(evaluated.results) - students
    held = 'the labels of the data set' if reference.is_truth \
        else f'what {reference.teacher} says of the colour picture'
    return (
        f'{_count(students, "student")} and {_count(teachers, "teacher")} on the same '
        f'{len(pairs):,} pairs of colour and {pairs.modality.name}, {len(reference.labels)} '
        f'phrases to choose among, held against {held}. Students ran in ONNX Runtime as the '
        "robot's node runs them: one picture at a time, same settings, same preprocessing."
    )


def no_truth(evaluated: Evaluated) -> str:
    """Warn that nothing here is accuracy."""
    return (
        'These pairs have no labels, so nobody knows what is right. Every number below is '
        f'agreement with what the teacher {evaluated.reference.teacher} says of the colour '
        'picture, mistakes of the teacher included. On colour the teacher agrees with itself '
        'by definition.'
    )


def facts(evaluated: Evaluated) -> list[tuple[str, str]]:
    """Give the few numbers to look at first: those of the model to be deployed."""
    shown, measure = evaluated.shown, evaluated.reference.measure
    found = [
        (f'{one.top1:.1%}', f'{measure} of {shown.name} by {name}')
        for key, name in modality_names(evaluated).items() if (one := shown.scores.get(key))
    ]
    if shown.size_bytes is not None:
        found.append((_megabytes(shown), f'on disk, {shown.name}'))
    if shown.latency_ms is not None:
        found.append((f'{shown.latency_ms:.1f} ms', 'a picture on this machine (median)'))
    return found


def result_table(evaluated: Evaluated) -> Table:
    """Give a line for each model."""
    names = modality_names(evaluated)
    headings = [
        'model', *names.values(), 'mean',
        *(f'{name}, mean of labels' for key, name in names.items() if key in (RGB, SECOND)),
        'size', 'latency',
    ]
    rows: list[tuple[str, ...]] = [(
        result.name, *(_share(result.scores.get(key)) for key in names),
        f'{result.mean_top1:.1%}' if math.isfinite(result.mean_top1) else '\u2013',
        *(f'{result.scores[key].mean_class:.1%}' if key in result.scores else '\u2013'
          for key in names if key in (RGB, SECOND)),
        _megabytes(result),
        '\u2013' if result.latency_ms is None else f'{result.latency_ms:.1f} ms',
    ) for result in evaluated.results]
    return headings, rows


def about_result(evaluated: Evaluated) -> str:
    """Say how to read the table."""
    measure, second = evaluated.reference.measure, evaluated.pairs.modality.name
    counts = ', '.join(
        f'{_count(int(evaluated.masks[key].sum()), "pair")} by {name}'
        for key, name in modality_names(evaluated).items()
    )
    text = (
        f'All models are measured on the same pictures: {counts}. In brackets: the 95 % interval '
        f'(Wilson). "mean" averages colour and '
        f'{second}; "mean of labels" counts every label that occurs alike, however rare. "both '
        f'fused" takes the mean of the unit embeddings of colour and {second}, as the robot can. '
        f'The intervals hold for independent pictures; those of one recording resemble each '
        f'other, so the true uncertainty of the {measure} is larger. Latency is of the network '
        'alone, with models taking turns in one process.'
    )
    return text + _left_out(evaluated)


def _left_out(evaluated: Evaluated) -> str:
    pairs, reference = evaluated.pairs, evaluated.reference
    said = [
        (reference.unknown, 'without a label'),
        (sum(reference.foreign.values()), 'of labels that are not in the vocabulary ('
         + ', '.join(reference.foreign) + ')'),
        (pairs.near_border, 'near a border of the split, whose moments training saw too'),
        (pairs.leaked, 'nearly the same as a picture that training saw'),
    ]
    found = [f'{_count(number, "pair")} {what}' for number, what in said if number]
    return f' Not counted: {"; ".join(found)}.' if found else ''


def about_comparison(evaluated: Evaluated) -> str:
    """Say how to read the comparison of pairs."""
    deployed = evaluated.shown.name
    return (
        f'Only the pictures that {deployed} or another model got right alone tell them apart. If '
        'both were equally good, each such picture would be a toss of a coin; p is how often '
        'tosses would come out at least this uneven (McNemar, exact). Above '
        f'{_SIGNIFICANT:g} a difference may well be luck. "Got right" means '
        + ('the label of the data set.' if evaluated.reference.is_truth
           else 'agreeing with the teacher.')
    )


def comparison_table(evaluated: Evaluated) -> Table:
    """Compare the deployed model with every other, in words."""
    names, deployed = modality_names(evaluated), evaluated.shown.name
    rows: list[tuple[str, ...]] = [
        (
            f'{deployed} against {other}', names[key], str(found.both), str(found.only_first),
            str(found.only_second), str(found.neither), verdict(deployed, found),
        )
        for (other, key), found in evaluated.paired.items()
    ]
    return [
        'models', 'by', 'both right', f'{deployed} alone', 'other alone', 'neither',
        'what that means',
    ], rows


def verdict(deployed: str, found: Paired) -> str:
    """Say whether two models differ."""
    count = found.both + found.only_first + found.only_second + found.neither
    points = 100 * (found.only_first - found.only_second) / max(1, count)
    chance = 'p < 0.001' if found.p_value < 0.001 else f'p = {found.p_value:.2g}'
    if found.only_first == found.only_second:
        return 'equally often right'
    more = 'more' if points > 0 else 'fewer'
    if found.p_value >= _SIGNIFICANT:
        return (
            f'{abs(points):.1f} points {more}, but as far as {count:,} pairs can tell they are '
            f'equally good ({chance})'
        )
    kind = 'better' if points > 0 else 'worse'
    return f'{deployed} is {kind}, by {abs(points):.1f} points ({chance})'


def about_labels() -> str:
    """Say how to read the dots."""
    return (
        'Each row is a label, the most frequent first, with the number of its pairs; each dot is '
        'a model. A label of few pairs jumps: one picture of four is 25 points.'
    )


def about_confusion(evaluated: Evaluated) -> str:
    """Say how to read the matrices."""
    who = 'the data set calls it' if evaluated.reference.is_truth else 'the teacher calls it'
    return (
        f'Rows: what {who}, the most frequent first. Columns: what the model says. Framed cells '
        'are right; shading is the share of the row.'
    )


def about_calibration(evaluated: Evaluated) -> str:
    """Say how to read the reliability diagrams."""
    shown = evaluated.shown
    lines = []
    for key, name in modality_names(evaluated).items():
        one = shown.scores.get(key)
        if one is not None:
            gap = one.mean_confidence - one.top1
            kind = 'too sure' if gap > 0 else 'too modest'
            lines.append(
                f'by {name} it says {one.mean_confidence:.0%} on average and is right in '
                f'{one.top1:.0%}: {kind} by {100 * abs(gap):.0f} points'
            )
    return (
        'On the dashed line, probability and reality agree; below it the model is too sure. Dots '
        'grow with the number of pictures. ECE is the mean distance from the line (expected '
        f'calibration error, ten bins). {shown.name}: ' + '; '.join(lines)
        + '. Set min_probability on the robot with this in mind.'
    )


def about_angle(evaluated: Evaluated) -> str:
    """Say what the angle means."""
    whose = 'its true label' if evaluated.reference.is_truth else "the teacher's label"
    lines = []
    for key, name in modality_names(evaluated).items():
        angles = [
            f'{result.name} {one.angle_deg:.1f}\u00b0'
            for result in evaluated.results if (one := result.scores.get(key))
        ]
        lines.append(f'{name}: {", ".join(angles)}')
    return (
        f'The angle between the embedding of a picture and that of the words of {whose}. The '
        'paper finds it smaller for the INT8 student after stage 2 than for its float student '
        f'(theta_3 < theta_1). Mean of every model: {"; ".join(lines)}. In the chart: median, '
        'and the middle half of the pictures as a bar. Angles of different teachers cannot be '
        'compared.'
    )


def about_map(evaluated: Evaluated) -> str:
    """Say what the map can show."""
    second = evaluated.pairs.modality.name
    return (
        'Each point is a picture, coloured by its label. Points near each other look alike to '
        f'{evaluated.shown.name}; far apart, distances mean nothing. Where colour and {second} of '
        'a label lie together, the student has learned that they show the same thing. A star is '
        'the words of a label, put among the pictures nearest to them: it should lie among points '
        'of its own colour. Laid out by t-SNE with a fixed seed.'
    )


def mistakes_title(evaluated: Evaluated, modality: str) -> str:
    """Name a sheet of mistakes."""
    name = modality_names(evaluated)[modality]
    if evaluated.reference.is_truth:
        return f'Surest mistakes of {evaluated.shown.name} by {name}'
    return f'Surest disagreements of {evaluated.shown.name} by {name}'


def about_mistakes(evaluated: Evaluated) -> str:
    """Say what a card shows."""
    who = 'label of the data set' if evaluated.reference.is_truth else "teacher's label"
    return (
        f'Each card: {who} \u2192 what the model says, and how sure it is. Some mistakes are '
        f'those of the {who}. At most two cards of the same confusion.'
    )


def lineage_table(evaluated: Evaluated, manifest: Mapping[str, Any]) -> Table:
    """Say what went in."""
    rows: list[tuple[str, ...]] = []
    for result in evaluated.results:
        facts = {key: value for key, value in result.facts.items() if key != 'kind'}
        rows.append((f'{result.facts["kind"]} {result.name}', _plain(facts)))
    rows += [(f'--{name.replace("_", "-")}', _plain(v)) for name, v in manifest['recipe'].items()]
    rows += [
        (name, f'{manifest["paths"][name]}, {_plain(manifest[name])}')
        for name in ('pairs', 'curated', 'taught') if name in manifest
    ]
    rows += [
        ('second modality', str(evaluated.pairs.modality)),
        ('vocabulary', ', '.join(evaluated.reference.labels)),
        ('made with', ', '.join(f'{n} {version}' for n, version in tool_versions().items())),
    ]
    return ['what', 'value'], rows


def _share(one: Score | None) -> str:
    if one is None:
        return '\u2013'
    return f'{one.top1:.1%} ({100 * one.interval[0]:.1f} to {100 * one.interval[1]:.1f})'


def _megabytes(result: Result) -> str:
    return '\u2013' if result.size_bytes is None else f'{result.size_bytes / 1e6:.1f} MB'


def _count(number: int, what: str) -> str:
    return f'{number:,} {what}{"" if number == 1 else "s"}'


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ', '.join(f'{name} {_plain(item)}' for name, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ' '.join(map(str, value))
    return 'not given' if value is None else str(value)
