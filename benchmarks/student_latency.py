# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure exported INT8 students against their own FP32, and against CLIP ViT-B/16 in FP32.

All run in ONNX Runtime on the CPU under the settings of the robot's backend, one image at a time,
in turns, so that a busy moment hits all of them. Latency and size do not depend on the weights,
so these are random; the scales are calibrated on photographs. CLIP is the vision tower of
open_clip.

``python benchmarks/student_latency.py`` writes JSON and a picture.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import os
from pathlib import Path
import platform
import sys
import tempfile
from typing import Any

import cv2
from edgevl_training.evaluation.sessions import open_session, time_in_turns
from edgevl_training.export import write_graph
from edgevl_training.exporting.graph import float_graph, traced_graph
from edgevl_training.exporting.int8 import int8_graphs
from edgevl_training.fake_quant import calibrate, float_twin, insert_quantizers
from edgevl_training.output import atomic, tool_versions, write_json
from edgevl_training.report.drawing import png_of
from edgevl_training.report.style import ACCENT, FAINT, INK, LINE
from edgevl_training.students.student import open_student
from edgevl_training.training_stage import parameters_of
from matplotlib.figure import Figure
import numpy as np
from numpy.typing import NDArray
import onnxruntime
import open_clip
from rich.console import Console
from rich.table import Table
from skimage import data as photographs
import torch

STUDENTS = (
    ('vit_s', 224), ('swin_t', 224), ('dat_t', 224), ('efficientnet_lite0', 192),
    ('efficientnet_lite0', 224),
)
CLIP, CLIP_SIZE = 'ViT-B-16', 224
DIM = 512
THREADS = (1, 2)
# What the export promises.
MIN_SPEEDUP, MAX_BYTES_PER_PARAMETER = 1.5, 1.15


def main() -> int:
    """Measure, print a table, write JSON and a picture; fail when a promise is broken."""
    options = _parser().parse_args()
    chosen = [item for item in STUDENTS if not options.students or item[0] in options.students]
    with tempfile.TemporaryDirectory() as folder:
        result = _measure(chosen, options.rounds, options.threads, Path(folder))
    _print(result)
    write_json(options.out.with_suffix('.json'), result)
    with atomic(options.out.with_suffix('.png')) as temporary:
        temporary.write_bytes(_plot(result))
    return 0 if all(_promises(result).values()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--students', nargs='*', help='only these')
    parser.add_argument('--threads', nargs='*', type=int, default=THREADS)
    parser.add_argument('--rounds', type=int, default=40, help='turns that each graph has')
    parser.add_argument(
        '--out', type=Path, default=Path(__file__).parent / 'results' / 'student_latency',
        help='where to write, without suffix',
    )
    return parser


def _measure(
    students: Sequence[tuple[str, int]], rounds: int, threads: Sequence[int], scratch: Path
) -> dict[str, Any]:
    torch.set_num_threads(1)
    clip = _export_clip(scratch / 'clip.onnx')
    measured = [_export(name, size, scratch / f'{name}_{size}') for name, size in students]
    graphs = [(clip, CLIP_SIZE)] + [
        (Path(one[kind]['path']), one['image_size'])
        for one in measured for kind in ('fp32', 'int8')
    ]
    clip_ms = {}
    for count in threads:
        times = time_in_turns([_runner(path, size, count) for path, size in graphs], rounds)
        clip_ms[str(count)], *rest = times
        for one, fp32, int8 in zip(measured, rest[::2], rest[1::2]):
            one['fp32'].setdefault('ms', {})[str(count)] = round(fp32, 2)
            one['int8'].setdefault('ms', {})[str(count)] = round(int8, 2)
            one.setdefault('times_faster_than_fp32', {})[str(count)] = round(fp32 / int8, 2)
            one.setdefault('times_faster_than_clip', {})[str(count)] = round(
                clip_ms[str(count)] / int8, 1
            )
    clip_bytes = clip.stat().st_size
    for one in measured:
        one['times_smaller_than_clip'] = round(clip_bytes / one['int8']['bytes'], 1)
        for kind in ('fp32', 'int8'):
            del one[kind]['path']
    return {
        'clip': {
            'name': CLIP, 'bytes': clip_bytes,
            'ms': {count: round(ms, 2) for count, ms in clip_ms.items()},
        },
        'students': measured,
        'rounds': rounds,
        'processor': _processor(),
        'cores': len(os.sched_getaffinity(0)),
        'load_average': [round(load, 1) for load in os.getloadavg()],
        'onnxruntime': onnxruntime.__version__,
        'tools': tool_versions(),
    }


def _processor() -> str:
    """Name the processor, and its instructions for INT8, which decide much."""
    cpuinfo = Path('/proc/cpuinfo')
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    of = {key.strip(): value.strip() for key, _, value in (line.partition(':') for line in lines)}
    kinds = [kind for kind in ('avx2', 'avx512_vnni', 'avx_vnni', 'amx_int8')
             if kind in of.get('flags', '').split()]
    return f'{of.get("model name", platform.machine())} ({", ".join(kinds)})'


def _runner(path: Path, size: int, threads: int) -> Any:
    session = open_session(str(path), threads)
    image = np.random.default_rng(0).normal(size=(1, 3, size, size)).astype(np.float32)
    name = session.get_inputs()[0].name
    return lambda _: session.run(None, {name: image})


def _export(name: str, size: int, base: Path) -> dict[str, Any]:
    """Write the FP32 graph and the CPU placement of a student."""
    torch.manual_seed(0)
    student = insert_quantizers(
        open_student(name, DIM, weights=None, image_size=size).eval()
    )
    calibrate(student, [torch.from_numpy(_photographs(size))])
    tensorrt, cpu = int8_graphs(student)
    graphs = {'fp32': float_graph(float_twin(student)), 'int8': cpu, 'tensorrt': tensorrt}
    files = {}
    for kind, graph in graphs.items():
        path = base.with_name(f'{base.name}.{kind}.onnx')
        files[kind] = {'bytes': len(write_graph(path, graph)), 'path': str(path)}
    del files['tensorrt']['path']
    parameters = parameters_of(student)
    return {
        'name': name, 'image_size': size, 'parameters': parameters,
        'bytes_per_parameter': round(
            max(files[kind]['bytes'] for kind in ('int8', 'tensorrt')) / parameters, 4
        ),
        **files,
    }


def _photographs(size: int) -> NDArray[np.float32]:
    pictures = [
        cv2.resize(getattr(photographs, name)(), (size, size), interpolation=cv2.INTER_AREA)
        for name in ('astronaut', 'chelsea', 'coffee', 'rocket')
    ]
    values = np.stack(pictures).astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
    return np.ascontiguousarray(values)


class _Tower(torch.nn.Module):
    """CLIP's vision tower with unit rows."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = open_clip.create_model(CLIP, pretrained=None).visual

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rows = self.visual(images)
        return rows / rows.norm(dim=1, keepdim=True)


def _export_clip(path: Path) -> Path:
    """Write CLIP, traced and tidied as the students are."""
    torch.manual_seed(0)
    # The exporter knows the layers of the attention, not torch's own kernel for all of it.
    torch.backends.mha.set_fastpath_enabled(False)
    write_graph(path, traced_graph(_Tower().eval(), CLIP_SIZE))
    return path


def _promises(result: dict[str, Any]) -> dict[str, bool]:
    return {
        **{
            f'{_label(one)}: INT8 at least {MIN_SPEEDUP}x as fast as FP32, {count} thread(s)':
                ratio >= MIN_SPEEDUP
            for one in result['students']
            for count, ratio in one['times_faster_than_fp32'].items()
        },
        **{
            f'{_label(one)}: at most {MAX_BYTES_PER_PARAMETER} bytes a parameter':
                one['bytes_per_parameter'] <= MAX_BYTES_PER_PARAMETER
            for one in result['students']
        },
    }


def _label(one: dict[str, Any]) -> str:
    return f'{one["name"]} {one["image_size"]}'


def _print(result: dict[str, Any]) -> None:
    table = Table(title=f'{result["processor"]}, ONNX Runtime {result["onnxruntime"]}')
    for heading in (
        'student', 'threads', 'FP32 ms', 'INT8 ms', 'x FP32', 'CLIP ms', 'x CLIP', 'INT8 MB',
        'x smaller', 'bytes/param',
    ):
        table.add_column(heading, justify='left' if heading == 'student' else 'right')
    for one in result['students']:
        for count, ratio in one['times_faster_than_fp32'].items():
            table.add_row(
                _label(one), count, f'{one["fp32"]["ms"][count]:.1f}',
                f'{one["int8"]["ms"][count]:.1f}', f'{ratio:.2f}',
                f'{result["clip"]["ms"][count]:.1f}',
                f'{one["times_faster_than_clip"][count]:.1f}',
                f'{one["int8"]["bytes"] / 1e6:.1f}', f'{one["times_smaller_than_clip"]:.1f}',
                f'{one["bytes_per_parameter"]:.3f}',
            )
    Console(width=120).print(table)
    for promise, kept in _promises(result).items():
        print(f'{"kept  " if kept else "BROKEN"} {promise}')


def _plot(result: dict[str, Any]) -> bytes:
    students, counts = result['students'], list(result['clip']['ms'])
    drawing = Figure(figsize=(10, 3.4), layout='constrained')
    drawing.suptitle(
        'One image on a CPU, ONNX Runtime', size=12, weight='bold', color=INK, x=0.01, ha='left',
    )
    for axes, count in zip(drawing.subplots(1, len(counts), squeeze=False)[0], counts):
        places = np.arange(len(students))
        for offset, kind, colour in ((-0.2, 'fp32', FAINT), (0.2, 'int8', ACCENT)):
            values = [one[kind]['ms'][count] for one in students]
            bars = axes.barh(places + offset, values, 0.38, color=colour, label=kind.upper())
            said = [f'{value:.1f}' for value in values] if kind == 'fp32' else [
                f'{value:.1f}  ({one["times_faster_than_fp32"][count]:.1f}x)'
                for value, one in zip(values, students)
            ]
            axes.bar_label(bars, said, padding=4, color=INK, size=8)
        axes.set_yticks(places, [_label(one) for one in students])
        axes.invert_yaxis()
        axes.set_title(
            f'ms on {count} thread(s); CLIP {CLIP} FP32: {result["clip"]["ms"][count]:.0f}',
            size=10, color=INK, loc='left',
        )
        axes.set_xlim(0, 1.3 * max(one['fp32']['ms'][count] for one in students))
        axes.grid(axis='x', color=LINE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelcolor=INK)
        axes.legend(frameon=False, fontsize=9)
    return png_of(drawing, dpi=120)


if __name__ == '__main__':
    sys.exit(main())
