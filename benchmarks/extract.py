# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure ``edgevl extract`` against merely reading and decoding the same bag.

Both run as processes of their own, one after the other, several times; the ratio is that of the
fastest runs, because whatever else the machine does only ever adds. Longer bags are the test bag
again and again with later stamps; the raw one holds the same frames as rgb8 and 16UC1. Writes
extract.json and extract.png.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
import json
import os
from pathlib import Path
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from typing import Any

import cv2
import matplotlib as mpl
import matplotlib.pyplot as plt
from rich.console import Console
from rich.table import Table
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

HERE = Path(__file__).parent
ROOT = HERE.parent
RIVAL = HERE / 'decode_rival.py'
LENGTHS = (1, 4, 16)
COMPARED_LENGTH = 16
NANOSECONDS = 1_000_000_000
# In a serialised message, after four bytes that tell the encoding.
STAMP = struct.Struct('<iI')
STAMP_AT = 4

# What extract promises.
MOST_RATIO = 1.3
MOST_GROWTH = 1.25


@dataclass(frozen=True)
class Run:
    """One process: seconds on the clock and of processor time, and its largest memory."""

    wall_s: float
    cpu_s: float
    memory_mib: float


def run(command: list[str | Path], cores: set[int]) -> Run:
    """Run a process on some cores to its end."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # a process inherits it
    started_s = time.perf_counter()
    process = subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    os.sched_setaffinity(0, ours)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started_s
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stderr is not None
    if process.returncode:
        raise RuntimeError(process.stderr.read().decode())
    process.stderr.close()
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def extract(bag: Path, cores: set[int]) -> Run:
    """Extract a bag into a folder that is removed again."""
    out = bag.parent / 'pairs'
    shutil.rmtree(out, ignore_errors=True)
    result = run([
        sys.executable, '-m', 'edgevl_training.cli', 'extract', '--bags', bag, '--out', out
    ], cores)
    shutil.rmtree(out)
    return result


def decode(bag: Path, cores: set[int]) -> Run:
    """Read and decode a bag, and do nothing else."""
    return run([sys.executable, RIVAL, bag], cores)


def compare(bag: Path, cores: set[int], repeats: int) -> dict[str, Any]:
    """Let both run in turns; give the fastest of each and their ratios."""
    decode(bag, cores)  # the bag is in the page cache for both
    runs = [(decode(bag, cores), extract(bag, cores)) for _ in range(repeats)]
    rival_s, ours_s = (min(run[i].wall_s for run in runs) for i in range(2))
    rival_cpu_s, ours_cpu_s = (min(run[i].cpu_s for run in runs) for i in range(2))
    size_mb = _size(bag) / 1e6
    return {
        'bag_mb': round(size_mb, 1),
        'cores': len(cores),
        'decode_s': round(rival_s, 2),
        'extract_s': round(ours_s, 2),
        'decode_mb_per_s': round(size_mb / rival_s, 1),
        'extract_mb_per_s': round(size_mb / ours_s, 1),
        'ratio': round(ours_s / rival_s, 2),
        'processor_time_ratio': round(ours_cpu_s / rival_cpu_s, 2),
        'extract_memory_mib': round(max(run[1].memory_mib for run in runs), 0),
    }


def write_longer(source: Path, target: Path, times: int) -> Path:
    """Write the messages of a bag several times, each time with later stamps."""
    with AnyReader([source]) as reader, Writer(
        target, version=9, storage_plugin=StoragePlugin.MCAP
    ) as writer:
        period_ns = reader.duration + NANOSECONDS
        connections = {
            c.id: writer.add_connection(c.topic, c.msgtype, typestore=reader.typestore)
            for c in reader.connections
        }
        for number in range(times):
            for connection, time_ns, raw in reader.messages():
                later_ns = number * period_ns
                writer.write(
                    connections[connection.id], time_ns + later_ns, _later(raw, later_ns)
                )
    return target


def write_raw(source: Path, target: Path) -> Path:
    """Write the images of a bag uncompressed, as drivers publish them."""
    store = get_typestore(Stores.ROS2_JAZZY)
    kind = 'sensor_msgs/msg/Image'
    with AnyReader([source]) as reader, Writer(
        target, version=9, storage_plugin=StoragePlugin.MCAP
    ) as writer:
        topics = {
            c.id: writer.add_connection(c.topic.rpartition('/')[0], kind, typestore=store)
            for c in reader.connections if c.msgtype.endswith('CompressedImage')
        }
        for connection, time_ns, raw in reader.messages():
            if connection.id in topics:
                message = reader.deserialize(raw, connection.msgtype)
                image = store.serialize_cdr(_raw_image(store, kind, message), kind)
                writer.write(topics[connection.id], time_ns, image)
    return target


def _raw_image(store: Any, kind: str, message: Any) -> Any:
    if 'compressedDepth' in message.format:
        pixels, encoding = cv2.imdecode(message.data[12:], cv2.IMREAD_UNCHANGED), '16UC1'
    else:
        pixels = cv2.imdecode(message.data, cv2.IMREAD_COLOR)
        pixels, encoding = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), 'rgb8'
    return store.types[kind](
        header=message.header, height=pixels.shape[0], width=pixels.shape[1], encoding=encoding,
        is_bigendian=0, step=pixels[0].nbytes, data=pixels.reshape(-1).view('uint8'),
    )


def _later(raw: bytes, later_ns: int) -> bytes:
    """Move the stamp of a serialised message that begins with a header."""
    data = bytearray(raw)
    seconds, nanoseconds = STAMP.unpack_from(data, STAMP_AT)
    stamp_ns = seconds * NANOSECONDS + nanoseconds + later_ns
    STAMP.pack_into(data, STAMP_AT, stamp_ns // NANOSECONDS, stamp_ns % NANOSECONDS)
    return bytes(data)


def _size(bag: Path) -> int:
    return sum(file.stat().st_size for file in bag.iterdir())


def main() -> int:
    """Measure, print a table, write the results; fail when a promise is broken."""
    options = _parser().parse_args()
    if options.data is None:
        print('set EDGEVL_TEST_DATA or give --data', file=sys.stderr)
        return 2
    source = options.data / 'bags' / 'nyu_tour'
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as folder:
        bags = {n: write_longer(source, Path(folder) / f'tour_{n}', n) for n in LENGTHS}
        raw = write_raw(source, Path(folder) / 'raw')
        compared = bags[COMPARED_LENGTH]
        result = {
            'processor': platform.processor() or platform.machine(),
            'opencv': cv2.__version__,
            'compressed_one_core': compare(compared, {min(cores)}, options.repeats),
            'compressed': compare(compared, cores, options.repeats),
            'raw_one_core': compare(raw, {min(cores)}, options.repeats),
            'raw': compare(raw, cores, options.repeats),
            'lengths': {
                n: {
                    'bag_mb': round(_size(bag) / 1e6, 1),
                    **asdict(min(
                        (extract(bag, cores) for _ in range(options.repeats)),
                        key=lambda run: run.wall_s,
                    )),
                } for n, bag in bags.items()
            },
        }
    _print(result)
    options.results.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2) + '\n'
    (options.results / 'extract.json').write_text(text, encoding='utf-8')
    _plot(result, options.results / 'extract.png')
    return 0 if all(_promises(result).values()) else 1


def _promises(result: dict[str, Any]) -> dict[str, bool]:
    # The shortest bag does not fill a shard; from then on nothing should grow.
    memory = [result['lengths'][n]['memory_mib'] for n in LENGTHS]
    return {
        f'at most {MOST_RATIO} times the time of reading and decoding, on one core': (
            result['compressed_one_core']['ratio'] <= MOST_RATIO
        ),
        f'at most {MOST_RATIO} times the time of reading and decoding, on all cores': (
            result['compressed']['ratio'] <= MOST_RATIO
        ),
        f'at most {MOST_GROWTH} times the memory for a bag four times as long': (
            memory[-1] <= MOST_GROWTH * memory[-2]
        ),
    }


def _print(result: dict[str, Any]) -> None:
    console = Console()
    table = Table('bag', 'MB', 'cores', 'decode s', 'extract s', 'MB/s', 'ratio', 'CPU ratio')
    for name in ('compressed_one_core', 'compressed', 'raw_one_core', 'raw'):
        row = result[name]
        keys = ('bag_mb', 'cores', 'decode_s', 'extract_s', 'extract_mb_per_s', 'ratio',
                'processor_time_ratio')
        table.add_row(name.replace('_', ' '), *(str(row[key]) for key in keys))
    console.print(table)
    table = Table('length', 'MB', 'seconds', 'peak MiB')
    for length, row in result['lengths'].items():
        table.add_row(
            f'{length}x', str(row['bag_mb']), f'{row["wall_s"]:.2f}', f'{row["memory_mib"]:.0f}'
        )
    console.print(table)
    for promise, kept in _promises(result).items():
        console.print(f'{"kept  " if kept else "BROKEN"} {promise}', style='' if kept else 'red')


def _plot(result: dict[str, Any], path: Path) -> None:
    mpl.use('Agg')
    figure, (ratios, seconds, memory) = plt.subplots(1, 3, figsize=(13, 4), layout='constrained')
    names = ('compressed_one_core', 'compressed', 'raw_one_core', 'raw')
    bars = ratios.bar(
        [f'{name.split("_")[0]}\n{result[name]["cores"]} core(s)' for name in names],
        [result[name]['ratio'] for name in names], color='tab:blue',
    )
    ratios.bar_label(bars, fmt='%.2f')
    ratios.axhline(MOST_RATIO, color='tab:red', linestyle='--', label=f'aim: {MOST_RATIO}')
    ratios.set_title('time of extract / time of reading and decoding')
    ratios.legend()
    lengths = result['lengths'].values()
    sizes = [row['bag_mb'] for row in lengths]
    for axes, key, title in (
        (seconds, 'wall_s', 'seconds'), (memory, 'memory_mib', 'peak memory in MiB'),
    ):
        axes.plot(sizes, [row[key] for row in lengths], marker='o')
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.set_xlabel('bag in MB (1, 4, 16 times nyu_tour)')
        axes.set_title(f'extract: {title}')
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument(
        '--data', type=Path, default=os.environ.get('EDGEVL_TEST_DATA'),
        help='test data with bags/nyu_tour (default: EDGEVL_TEST_DATA)',
    )
    parser.add_argument('--repeats', type=int, default=3, help='runs of each (default: 3)')
    parser.add_argument(
        '--results', type=Path, default=HERE / 'results', help='where the results go'
    )
    return parser


if __name__ == '__main__':
    sys.exit(main())
