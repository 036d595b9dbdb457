# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model card of an adapted student, in Markdown: every number in it was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Options of a verb that belong to the machine, not to the student.
_LEFT_OUT = {'data', 'device', 'out', 'pairs', 'taught', 'threads', 'workers'}
_ORDER = ('rgb', 'depth', 'fused')

_TEMPLATE = """\
# {name}

An INT8 student for `edgevl_ros`: it turns {inputs} into a unit vector of {dim} dimensions, to be
compared with the teacher's embedding of any phrase. It was adapted to the cameras of its owner
with EdgeVL (Cai et al., ECCV 2024), without a human label.

{facts}

## What it is good for

- Telling kinds of places apart, seen by the cameras that its pairs were recorded with, in places
  like those that were recorded.
- {modalities}
- Words that change while the robot runs: it knows {phrases} phrases without a text encoder, and
  begins with: {labels}.

## What it is not good for

- Other cameras, other ranges of distance and other kinds of places than those recorded: adapt
  again where the robot is moved to.
- What its teacher does not know. The teacher's labels of the colour pictures, right or wrong, are
  all that it learned from.
- People, text, and decisions about safety.

## Measured

{measured}

## How it was made

{made}

## Where it comes from

{sources}

Made with edgevl_ros at commit {commit}. `manifest.json` holds the hashes of everything on the way
and the versions of the tools.
"""
_BOTH = 'Frames with {} and {}, or with one of them: one set of weights reads both.'
_ONE = 'Frames with {}: it was trained on nothing else, and the robot shows it nothing else.'


def model_card(
    manifest: Mapping[str, Any], metrics: Mapping[str, Any], labels: Sequence[str], phrases: int
) -> str:
    """
    Write the card.

    :param manifest: of the bundle; ``metrics`` is what ``edgevl evaluate`` measured.
    :param labels: that the robot begins with, among so many phrases that it knows.
    """
    names = [_named(manifest, modality) for modality in manifest['modalities']]
    lineage = manifest['lineage']
    return _TEMPLATE.format(
        name=manifest['name'],
        inputs=' or '.join(f'a {name} image' for name in names),
        dim=manifest['embedding_dim'],
        facts=_facts(manifest),
        modalities=_BOTH.format(*names) if len(names) > 1 else _ONE.format(*names),
        phrases=phrases,
        labels=', '.join(labels),
        measured=_measured(manifest, metrics),
        made=_made(lineage.get('verbs') or []),
        sources=_sources(lineage.get('sources')),
        commit=lineage.get('commit') or 'unknown',
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a table in Markdown."""
    lines = [headings, ['---'] * len(headings), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _named(manifest: Mapping[str, Any], modality: str) -> str:
    """Give the word for a modality; the second one need not be depth."""
    second = (manifest.get('second_modality') or {}).get('name', 'depth')
    return {'rgb': 'colour', 'depth': second, 'fused': 'both fused'}.get(modality, modality)


def _facts(manifest: Mapping[str, Any]) -> str:
    student, side = manifest['student'], manifest['input_size']
    weights = ', '.join(
        f'{_named(manifest, name)} {weight:g}' for name, weight in manifest['fusion'].items()
    )
    return table(('what', 'value'), [
        ('network', f'{student["architecture"]}, {student["parameters"] / 1e6:.1f} million '
                    'parameters'),
        ('input', f'{side} x {side} pixels'),
        ('teacher', f'`{manifest["teacher"]["id"]}`'),
        ('weights where a frame has both', weights),
        ('licence', manifest['license']),
    ])


def _measured(manifest: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    parity = (
        'How well the exported graphs agree with the network that was trained: `parity` in '
        '`metrics.json`.'
    )
    if not metrics.get('results'):
        return f'Its accuracy was not measured: {metrics.get("why", "nobody said why")}. {parity}'
    judged = (
        'Labels of the data set judge; nothing was decided by them.'
        if metrics.get('truth') else
        "No labels were at hand: the teacher's own label of the colour picture judges, so these "
        'shares are agreement with the teacher, not accuracy.'
    )
    numbers = results_table(metrics, lambda modality: _named(manifest, modality))
    return (
        f'{metrics["pairs"]} pairs that took no part in training, {len(metrics["vocabulary"])} '
        f'labels to choose among. {judged}\n\n{numbers}\n\n{parity}'
    )


def results_table(metrics: Mapping[str, Any], named: Callable[[str], str] = str) -> str:
    """Give what ``edgevl evaluate`` measured, one row for each model and modality."""
    rows = []
    results = metrics['results']
    for name in metrics.get('order', results):
        result = results[name]
        for modality in sorted(result['modalities'], key=_ORDER.index):
            numbers = result['modalities'][modality]
            rows.append((
                name, named(modality), _share(numbers.get('top1')),
                _share(numbers.get('mean_class')), _number(numbers.get('ece'), 3),
                _number(numbers.get('angle_deg'), 1), _size(result.get('bytes')),
                _number(result.get('latency_ms'), 2),
            ))
    headings = (
        'model', 'modality', 'top-1', 'mean class', 'calibration error', 'angle to the text, deg',
        'size, MB', 'latency, ms',
    )
    return table(headings, rows)


def _share(value: float | None) -> str:
    return '' if value is None else f'{100 * value:.1f} %'


def _number(value: float | None, digits: int) -> str:
    return '' if value is None else f'{value:.{digits}f}'


def _size(value: float | None) -> str:
    return '' if value is None else f'{value / 1e6:.1f}'


def _made(verbs: Sequence[Mapping[str, Any]]) -> str:
    """List every verb with the options that it was given."""
    lines = []
    for step in verbs:
        options = ', '.join(
            f'{name} {_shown(value)}' for name, value in (step.get('recipe') or {}).items()
            if name not in _LEFT_OUT and value not in (None, [], '')
        )
        lines.append(f'- `edgevl {step.get("verb")}`: {options or "its options are not known"}')
    return '\n'.join(lines) or 'The folders before it were not at hand when it was packed.'


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ' '.join(map(_shown, value))
    # A path tells others nothing but where its owner keeps things.
    return Path(value).name if isinstance(value, str) and value.startswith('/') else str(value)


def _sources(sources: Sequence[Mapping[str, Any]] | None) -> str:
    if sources is None:
        return 'Its recordings are not known: their pairs were not at hand when it was packed.'
    return '\n'.join(
        f'- {source["name"]}, fingerprint `{source.get("fingerprint", "")}`' for source in sources
    )
