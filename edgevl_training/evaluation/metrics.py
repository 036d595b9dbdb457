# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What ``evaluate`` writes for other programs: metrics.json and predictions.parquet."""

from __future__ import annotations

from collections.abc import Sequence
import csv
from dataclasses import asdict
import io
import math
from pathlib import Path
from typing import Any

from edgevl_training.evaluation.results import Evaluated, NO_LABEL, Result, Score
from edgevl_training.evaluation.scores import per_class
from edgevl_training.output import atomic, SKIPPED, write_text
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PREDICTIONS = pa.schema([
    pa.field('pair_id', pa.string(), nullable=False),
    pa.field('model', pa.string(), nullable=False),
    # rgb, depth (the second modality, whatever it is) or fused.
    pa.field('modality', pa.string(), nullable=False),
    # The label of the data set; null where it has none.
    pa.field('truth', pa.string()),
    # What the prediction is held against: the truth as a phrase of the vocabulary or, without
    # truth, the teacher's label of the colour picture.
    pa.field('reference', pa.string()),
    pa.field('predicted', pa.string(), nullable=False),
    pa.field('probability', pa.float32(), nullable=False),
    # Between the embedding and the words of the reference, in degrees.
    pa.field('angle', pa.float32()),
    # Whether the pair counts in the scores: every model saw it, and there is a reference.
    pa.field('counted', pa.bool_(), nullable=False),
])


def metrics_of(evaluated: Evaluated) -> dict[str, Any]:
    """Give the content of metrics.json; shares run from 0 to 1."""
    pairs, reference, deployed = evaluated.pairs, evaluated.reference, evaluated.deployed
    return {
        'vocabulary': list(reference.labels),
        'pairs': len(pairs),
        'truth': reference.is_truth,
        'measure': reference.measure,
        'reference': "the data set's labels" if reference.is_truth
        else f'what {reference.teacher} says of the colour picture',
        'second_modality': pairs.modality.name,
        'counts': {
            'pairs': len(pairs),
            'with_second_picture': int(pairs.has_second.sum()),
            'without_label': reference.unknown,
            'labels_not_in_vocabulary': dict(reference.foreign),
            'near_split_border': pairs.near_border,
            'near_duplicates_of_training': pairs.leaked,
            'skipped_pictures': len(evaluated.skipped),
        },
        # In the order of the report; the results below are in that of the alphabet.
        'order': [result.name for result in evaluated.results],
        'deployed': None if deployed is None else deployed.name,
        'paired': [
            {
                'model': None if deployed is None else deployed.name, 'against': other,
                'modality': modality, **asdict(found),
            }
            for (other, modality), found in evaluated.paired.items()
        ],
        'results': {
            result.name: _result(result, reference.labels) for result in evaluated.results
        },
    }


def _result(result: Result, labels: Sequence[str]) -> dict[str, Any]:
    return {
        **result.facts,
        'modalities': {name: _score(one, labels) for name, one in result.scores.items()},
        'mean_top1': _rounded(result.mean_top1),
        'mean_mean_class': _rounded(result.mean_mean_class),
        'bytes': result.size_bytes,
        'latency_ms': _rounded(result.latency_ms),
    }


def _score(one: Score, labels: Sequence[str]) -> dict[str, Any]:
    shares = per_class(one.confusion)
    return {
        'count': one.count,
        'top1': _rounded(one.top1),
        'top1_interval_95': [_rounded(edge) for edge in one.interval],
        'mean_class': _rounded(one.mean_class),
        'ece': _rounded(one.reliability.error),
        'mean_confidence': _rounded(one.mean_confidence),
        'angle_deg': _rounded(one.angle_deg),
        'per_class': {
            label: {'count': int(count), 'share': _rounded(share)}
            for label, count, share in zip(labels, one.confusion.sum(1), shares) if count
        },
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 6)


def write_predictions(path: Path, evaluated: Evaluated) -> None:
    """Write a row for each pair, model and modality that has a picture."""
    pairs, reference = evaluated.pairs, evaluated.reference
    ids, labels = pa.array(pairs.ids), pa.array(reference.labels)
    truth = pa.array([label or None for label in pairs.truth], pa.string())
    held_against = labels.take(pa.array(reference.label, mask=reference.label == NO_LABEL))
    with atomic(path) as temporary, pq.ParquetWriter(
        temporary, PREDICTIONS, compression='ZSTD'
    ) as writer:
        for result in evaluated.results:
            for name, said in result.said.items():
                rows = np.flatnonzero(said.label != NO_LABEL)
                take, mask = pa.array(rows), evaluated.masks.get(name)
                angle = said.angle_deg[rows]
                writer.write_table(pa.Table.from_arrays([
                    ids.take(take),
                    pa.array([result.name] * len(rows)),
                    pa.array([name] * len(rows)),
                    truth.take(take),
                    held_against.take(take),
                    labels.take(pa.array(said.label[rows])),
                    pa.array(said.probability[rows]),
                    pa.array(angle, mask=np.isnan(angle)),
                    pa.array(np.zeros(len(rows), bool) if mask is None else mask[rows]),
                ], schema=PREDICTIONS))


def write_skipped(out: Path, skipped: Sequence[tuple[str, str]]) -> None:
    """List the pictures that could not be used: (item, reason)."""
    text = io.StringIO(newline='')
    csv.writer(text, lineterminator='\n').writerows([('item', 'reason'), *skipped])
    write_text(out / SKIPPED, text.getvalue())
