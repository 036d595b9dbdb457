# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The rows of the paper's tables 1 and 2, and the students that they are measured on.

An experiment trains one student; rows share them: the colour student of stage 1 is a part of SKD,
and what CQD and the colour-only EdgeVL go on from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Experiment:
    """
    One student, and how it differs from the recipe.

    ``options`` win over the recipe of the verb; names in braces stand for numbers of the recipes,
    see `Sources.budgets`. ``base`` names the experiment whose student stage 2 goes on from.
    ``trained`` and ``exported`` are the folders of ``edgevl adapt`` that may hold it already.
    """

    verb: Literal['distill', 'contrast']
    options: tuple[str, ...] = ()
    base: str | None = None
    trained: str | None = None
    exported: str | None = None


_BOTH, _RGB, _DEPTH = (('--modalities', name) for name in ('both', 'rgb', 'depth'))
_FIXED, _LEARNED = (('--activation-scales', name) for name in ('fixed', 'learned'))
# What makes a row what it is comes from here, whatever else the recipe says.
_CALIBRATED = ('--ptq', 'true', *_FIXED, *_BOTH)
# From the teacher alone, as published.
_DISTILLED = ('--ptq', 'false', '--loss', 'distillation', '--bootstrap', '0')
_CONTRASTED = ('--ptq', 'false', '--loss', 'both')


def _budget(of: str) -> tuple[str, ...]:
    """Give the options that say how long and how fast; see `Sources.budgets`."""
    return (
        '--epochs', f'{{{of}_epochs}}', '--learning-rate', f'{{{of}_learning_rate}}',
        '--final-learning-rate', f'{{{of}_final_learning_rate}}',
    )


EXPERIMENTS = {
    'stage1': Experiment('distill', _BOTH, trained='stage1', exported='exported_fp32'),
    'ptq': Experiment('contrast', _CALIBRATED, 'stage1', 'ptq', 'exported_ptq'),
    'qat': Experiment('contrast', (*_DISTILLED, *_FIXED, *_BOTH), 'stage1'),
    'lsq': Experiment('contrast', (*_DISTILLED, *_LEARNED, *_BOTH), 'stage1'),
    'stage2': Experiment('contrast', (*_CONTRASTED, *_BOTH), 'stage1', 'stage2', 'exported'),
    'initial': Experiment('distill', ('--epochs', '0', *_BOTH)),
    # Scales of a network that knows nothing yet have to move with it.
    'single_stage': Experiment(
        'contrast', (
            # There is no stage 1 that could have a say.
            *_CONTRASTED, *_LEARNED, *_BOTH, '--bootstrap', '0', *_budget('single'),
        ), 'initial',
    ),
    'rgb_stage1': Experiment('distill', _RGB),
    'depth_stage1': Experiment('distill', _DEPTH),
    'rgb_only': Experiment('contrast', (*_CONTRASTED, *_RGB), 'rgb_stage1'),
    'depth_only': Experiment('contrast', (*_CONTRASTED, *_DEPTH), 'depth_stage1'),
    'cqd': Experiment('contrast', (
        *_DISTILLED, *_FIXED, *_DEPTH, '--calibration-modalities', 'both', *_budget('stage1'),
    ), 'rgb_stage1'),
}


@dataclass(frozen=True)
class Row:
    """
    A line of a table.

    ``tables`` maps the number of a table to the line's title in it. ``students`` maps a modality
    to the experiment that is measured on it; a row without any is a teacher's.
    """

    precision: str
    tables: Mapping[int, str]
    what: str
    students: Mapping[str, str] = field(default_factory=dict)


def _both(experiment: str) -> dict[str, str]:
    return {'rgb': experiment, 'depth': experiment}


RowName = Literal[
    'teacher', 'small_teacher', 'skd', 'cqd', 'stage1', 'ptq', 'qat', 'lsq', 'stage2',
    'single_stage', 'rgb_only', 'depth_only',
]
TABLES = {1: 'Methods', 2: 'What each part of EdgeVL is worth'}
# In the order of the tables.
ROWS: Mapping[RowName, Row] = {
    'teacher': Row(
        'FP32', {1: 'Teacher, zero-shot'}, 'the teacher as it is, on both modalities; size of '
        'what embeds pictures, as numbers in memory',
    ),
    'small_teacher': Row(
        'FP32', {1: 'Smaller teacher, zero-shot'}, 'a teacher nearer to the size of the student',
    ),
    'skd': Row(
        'FP32', {1: 'SKD'}, 'two students, each distilled for its own modality; size of both, '
        'latency of one', {'rgb': 'rgb_stage1', 'depth': 'depth_stage1'},
    ),
    'cqd': Row(
        'INT8', {1: 'CQD made INT8'}, 'compress, then distil: the colour student of stage 1, '
        'calibrated on both modalities, then distilled with INT8 rounding for the second modality '
        'alone, for the epochs and at the learning rates of stage 1; the row CQD of the paper is '
        'FP32, so these are not its numbers', _both('cqd'),
    ),
    'stage1': Row('FP32', {2: 'Stage 1'}, 'distilled for both modalities', _both('stage1')),
    'ptq': Row('INT8', {2: '+ PTQ'}, 'stage 1, calibrated and not trained on', _both('ptq')),
    'qat': Row(
        'INT8', {2: '+ QAT'}, 'stage 1, trained on with rounding: distillation from the '
        'teacher alone, activation scales as calibrated', _both('qat'),
    ),
    'lsq': Row(
        'INT8', {2: '+ QAT, learned steps (LSQ)'}, 'QAT whose activation scales are trained; '
        "a weight's scale stays that of its largest value", _both('lsq'),
    ),
    'stage2': Row(
        'INT8', {1: 'EdgeVL', 2: '+ Stage 2 (EdgeVL)'}, 'stage 1, then rounding, distillation '
        'and triplets together, with the options of the recipe', _both('stage2'),
    ),
    'single_stage': Row(
        'INT8', {2: 'Single stage'}, 'the objective of stage 2 from the beginning, for the '
        'epochs of both stages and at the learning rate of stage 1; activation scales, calibrated '
        'on a network that has learned nothing, are trained along (learned steps)',
        _both('single_stage'),
    ),
    'rgb_only': Row(
        'INT8', {2: 'RGB only'}, 'both stages on colour alone', _both('rgb_only')
    ),
    'depth_only': Row(
        'INT8', {2: '{second} only'}, 'both stages on the second modality alone',
        _both('depth_only'),
    ),
}
