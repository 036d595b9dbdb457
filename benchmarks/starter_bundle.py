# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure the starter bundle: INT8 against FP32, in agreement, accuracy and speed.

Needs the test data (EDGEVL_TEST_DATA) and the float graph, which is too large to ship:
``python -m edgevl_training.starter --out DIR --fp32 fp32.onnx`` writes it.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import platform
import sys

from edgevl_ros.core.bundle import Bundle
from edgevl_training.evaluation.nyuv2 import compare, read_nyuv2, reliability
from edgevl_training.evaluation.sessions import embed, open_session, time_models
import onnxruntime
from rich.console import Console
from rich.table import Table

# What the starter bundle promises.
MIN_COSINE = 0.985
MAX_TOP1_LOSS = 1.5
MIN_SPEEDUP = 1.3


def main() -> int:
    """Measure, print a table, write JSON; fail when a promise is broken."""
    options = _parser().parse_args()
    if options.data is None:
        print('set EDGEVL_TEST_DATA or give --data', file=sys.stderr)
        return 2
    bundle = Bundle.open(options.bundle)
    int8_path, fp32_path = str(bundle.model_path('onnxruntime')), str(options.fp32)
    pictures = read_nyuv2(options.data, bundle.preprocess)
    words = bundle.phrases.vocabulary(pictures.labels).embeddings
    int8 = embed(open_session(int8_path, 1), pictures.images)
    fp32 = embed(open_session(fp32_path, 1), pictures.images)
    result = {
        'processor': platform.processor() or platform.machine(),
        'onnxruntime': onnxruntime.__version__,
        **compare(int8, fp32, words, pictures.truth),
        **reliability(int8, words, pictures.truth, bundle.phrases.logit_scale),
    }
    for threads in (1, 2):
        slow, fast = time_models([fp32_path, int8_path], pictures.images[:1], threads)
        result[f'fp32_ms_{threads}_threads'] = round(slow, 2)
        result[f'int8_ms_{threads}_threads'] = round(fast, 2)
        result[f'speedup_{threads}_threads'] = round(slow / fast, 2)
    _print(result)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')
    return 0 if all(_promises(result).values()) else 1


def _promises(result: dict) -> dict[str, bool]:
    loss = result['top1_fp32_percent'] - result['top1_int8_percent']
    return {
        f'mean cosine at least {MIN_COSINE}': result['cosine_mean'] >= MIN_COSINE,
        f'top-1 loss at most {MAX_TOP1_LOSS} points': loss <= MAX_TOP1_LOSS,
        **{
            f'at least {MIN_SPEEDUP}x faster on {threads} thread(s)': (
                result[f'speedup_{threads}_threads'] >= MIN_SPEEDUP
            )
            for threads in (1, 2)
        },
    }


def _print(result: dict) -> None:
    console = Console()
    table = Table('measured', 'value', title='starter bundle, INT8 against FP32')
    for key, value in result.items():
        table.add_row(key.replace('_', ' '), str(value))
    console.print(table)
    for promise, kept in _promises(result).items():
        console.print(f'{"kept  " if kept else "BROKEN"} {promise}', style='' if kept else 'red')


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--fp32', type=Path, required=True, help='float graph to compare with')
    parser.add_argument('--bundle', default='', help='bundle folder (default: the starter bundle)')
    parser.add_argument(
        '--data',
        type=Path,
        default=os.environ.get('EDGEVL_TEST_DATA'),
        help='test data with nyuv2_train (default: EDGEVL_TEST_DATA)',
    )
    parser.add_argument('--json', type=Path, help='also write the numbers there')
    return parser


if __name__ == '__main__':
    sys.exit(main())
