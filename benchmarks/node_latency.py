# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure the node on a 640x480 colour and depth camera at 30 Hz.

First what the transport alone costs; then the time from camera stamp to received label, what of it
is not inference, and the CPU and memory after 1,000 and 10,000 frames; then the same camera with a
student slower than it, against a rival that infers in its callback. Writes node_latency.json and
node_latency.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
import contextlib
from dataclasses import dataclass, field
import itertools
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from edgevl_ros.core.bundle import STARTER
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn
from rich.table import Table
from sensor_msgs.msg import Image
from slow_bundle import write_slow_bundle
from vision_msgs.msg import Classification

HERE = Path(__file__).parent
PROFILE = HERE.parent / 'config' / 'fastdds_large_images.xml'
RATE_HZ = 30.0
WARM_UP_FRAMES = 60
# A best-effort reader loses some, and memory is read after so many that were labelled.
SPARE = 1.03


@dataclass
class Recording:
    """What a listener saw of one run: latencies by time, and the process in between."""

    seconds: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    memory_mib: dict[int, float] = field(default_factory=dict)
    cpu_s: dict[int, float] = field(default_factory=dict)
    wall_s: dict[int, float] = field(default_factory=dict)
    diagnostics: dict[str, str] = field(default_factory=dict)

    def steady_ms(self) -> np.ndarray:
        """Give the latencies without the first frames, when discovery and caches warm up."""
        return np.array(self.latencies_ms[WARM_UP_FRAMES:])


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process and end it as Ctrl-C would."""
    process = subprocess.Popen([sys.executable, *command])
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def record(command: list[str], frames: int, marks: tuple[int, ...], title: str) -> Recording:
    """Run a node and a camera, and listen until the camera is done."""
    recording = Recording()
    rclpy.init()
    node = Node('listener')
    try:
        with running(command) as perception:
            _listen(node, recording, perception.pid, marks)
            _wait_for_subscriber(node)
            with running([str(HERE / 'camera.py'), '--frames', str(frames)]) as camera:
                _spin_while(node, camera, recording, frames, title)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return recording


def _listen(node: Node, recording: Recording, pid: int, marks: tuple[int, ...]) -> None:
    started = time.monotonic()

    def on_scene(message: Classification) -> None:
        stamp_s = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        recording.latencies_ms.append((time.time() - stamp_s) * 1000)
        recording.seconds.append(time.monotonic() - started)
        count = len(recording.latencies_ms)
        if count in marks:
            recording.memory_mib[count] = memory_mib(pid)
            recording.cpu_s[count] = cpu_s(pid)
            recording.wall_s[count] = time.monotonic() - started

    def on_diagnostics(message: DiagnosticArray) -> None:
        recording.diagnostics = {v.key: v.value for v in message.status[0].values}

    node.create_subscription(Classification, '/edgevl_perception/scene', on_scene, 100)
    node.create_subscription(DiagnosticArray, '/diagnostics', on_diagnostics, 10)


def _wait_for_subscriber(node: Node) -> None:
    deadline = time.monotonic() + 60
    while not node.count_subscribers('/image'):
        if time.monotonic() > deadline:
            raise TimeoutError('expected the node to subscribe to /image within 60 s; see above')
        rclpy.spin_once(node, timeout_sec=0.1)


def _spin_while(
    node: Node,
    camera: subprocess.Popen[bytes],
    recording: Recording,
    frames: int,
    title: str,
) -> None:
    columns = (*Progress.get_default_columns()[:-1], TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task(title, total=frames)
        while camera.poll() is None:
            rclpy.spin_once(node, timeout_sec=0.1)
            progress.update(task, completed=len(recording.latencies_ms))


def memory_mib(pid: int) -> float:
    """Read the memory that a process has taken for itself, in MiB, without shared memory."""
    status = Path(f'/proc/{pid}/status').read_text()
    return int(status.partition('RssAnon:')[2].split()[0]) / 1024


def cpu_s(pid: int) -> float:
    """Read the CPU time that a process has taken, in seconds."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def measure_transport(frames: int) -> dict[str, float]:
    """
    Measure what a subscriber pays that does nothing: from stamp to the callback of the depth.

    The camera publishes depth after colour, so this is when a pair can be complete at the
    earliest; nothing in a node makes it shorter.
    """
    latencies_ms = []
    rclpy.init()
    node = Node('bare_subscriber')

    def on_depth(message: Image) -> None:
        stamp_s = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        latencies_ms.append((time.time() - stamp_s) * 1000)

    node.create_subscription(Image, 'image', lambda _: None, qos_profile_sensor_data)
    node.create_subscription(Image, 'depth', on_depth, qos_profile_sensor_data)
    with running([str(HERE / 'camera.py'), '--frames', str(frames)]) as camera:
        while camera.poll() is None:
            rclpy.spin_once(node, timeout_sec=0.1)
    node.destroy_node()
    rclpy.try_shutdown()
    p50, p99 = np.percentile(latencies_ms[WARM_UP_FRAMES:], [50, 99])
    return {'p50 (ms)': round(float(p50), 2), 'p99 (ms)': round(float(p99), 2)}


def measure_steady(bundle: Path, frames: int) -> tuple[Recording, dict[str, Any]]:
    """Measure latency, CPU and memory on a student that is faster than the camera."""
    marks = tuple(mark for mark in (300, 1000, 10000) if mark <= frames)
    published = WARM_UP_FRAMES + round(frames * SPARE)
    recording = record(_ours(bundle), published, marks, f'{frames} frames')
    latencies = recording.steady_ms()
    p50, p99 = np.percentile(latencies, [50, 99])
    intervals = list(itertools.pairwise(marks))
    result = {
        'frames published': published,
        'frames labelled': len(recording.latencies_ms),
        'stamp to received label p50 (ms)': round(float(p50), 2),
        'stamp to received label p99 (ms)': round(float(p99), 2),
        'memory (MiB) after frames': {k: round(v, 1) for k, v in recording.memory_mib.items()},
        'CPU (share of one core) between frames': {
            f'{a}..{b}': round(
                (recording.cpu_s[b] - recording.cpu_s[a])
                / (recording.wall_s[b] - recording.wall_s[a]), 3,
            )
            for a, b in intervals
            if b in recording.cpu_s
        },
        'by the node itself': {
            key: value for key, value in recording.diagnostics.items() if '(ms)' in key
        },
    }
    return recording, result


def measure_overload(bundle: Path, frames: int) -> tuple[dict[str, Recording], dict[str, Any]]:
    """Measure the latency of the newest frame on a student slower than the camera."""
    commands = {
        'edgevl_ros': _ours(bundle),
        'rival (infers in its callback)': [str(HERE / 'callback_rival.py'), str(bundle)],
    }
    recordings = {
        name: record(command, frames, (), f'slow student, {name}')
        for name, command in commands.items()
    }
    result = {}
    for name, recording in recordings.items():
        last = np.array(recording.latencies_ms[len(recording.latencies_ms) // 2:])
        p50, p99 = np.percentile(last, [50, 99]) if last.size else (np.nan, np.nan)
        result[name] = {
            'frames labelled': len(recording.latencies_ms),
            'second half p50 (ms)': round(float(p50), 1),
            'second half p99 (ms)': round(float(p99), 1),
        }
    result['inference of ours'] = recordings['edgevl_ros'].diagnostics.get(
        'inference p50 / p99 (ms)', ''
    )
    return recordings, result


def _ours(bundle: Path) -> list[str]:
    return ['-m', 'edgevl_ros.nodes.perception_node', '--ros-args', '-p', f'bundle:={bundle}']


def draw(steady: Recording, overload: dict[str, Recording], path: Path) -> None:
    """Draw the steady latencies as a histogram and the overloaded ones over time."""
    mpl.use('Agg')
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5), layout='constrained')
    latencies = steady.steady_ms()
    left.hist(latencies, bins=80, range=(0, np.percentile(latencies, 99.5)), color='#2b6cb0')
    for percentile in (50, 99):
        value = np.percentile(latencies, percentile)
        left.axvline(value, color='black', linestyle='--')
        left.text(value, left.get_ylim()[1] * 0.95, f'p{percentile} {value:.1f} ms ', va='top',
                  ha='right')
    left.set(title='Camera stamp to received label (640x480 colour + depth, 30 Hz)',
             xlabel='milliseconds', ylabel='frames')
    for (name, recording), color in zip(overload.items(), ('#2b6cb0', '#c05621')):
        seconds = np.array(recording.seconds)
        right.plot(seconds - seconds[0], recording.latencies_ms, label=name, color=color)
    right.set(title='A student slower than the camera: age of the labelled frame',
              xlabel='seconds', ylabel='milliseconds', ylim=(0, None))
    right.legend()
    right.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def show(title: str, result: dict[str, Any]) -> None:
    """Print one result as a table."""
    table = Table('', '', title=title, show_header=False)
    for key, value in result.items():
        parts = value.items() if isinstance(value, dict) else [('', value)]
        table.add_row(key, '\n'.join(f'{name}: {part}'.lstrip(': ') for name, part in parts))
    Console().print(table)


def main() -> None:
    """Run both measurements and write what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--bundle', type=Path, default=STARTER, help='bundle to run')
    parser.add_argument('--frames', type=int, default=10000, help='frames of the steady run')
    parser.add_argument('--slow-frames', type=int, default=600, help='frames of the slow runs')
    parser.add_argument('--products', type=int, default=6, help='idle products, 2 GFLOP each')
    parser.add_argument('--output', type=Path, default=HERE / 'results', help='folder to write to')
    arguments = parser.parse_args()
    os.environ.update(
        ROS_DOMAIN_ID='93',
        ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST',
        FASTRTPS_DEFAULT_PROFILES_FILE=str(PROFILE),
    )
    transport = measure_transport(min(600, arguments.frames))
    show('Stamp to callback of a subscriber that does nothing', transport)
    steady, steady_result = measure_steady(arguments.bundle, arguments.frames)
    show('Steady', steady_result)
    with tempfile.TemporaryDirectory() as scratch:
        slow = write_slow_bundle(arguments.bundle, Path(scratch) / 'slow', arguments.products)
        overload, overload_result = measure_overload(slow, arguments.slow_frames)
    show('Overload', overload_result)
    arguments.output.mkdir(parents=True, exist_ok=True)
    report = {'transport alone': transport, 'steady': steady_result, 'overload': overload_result}
    (arguments.output / 'node_latency.json').write_text(json.dumps(report, indent=2) + '\n')
    draw(steady, overload, arguments.output / 'node_latency.png')


if __name__ == '__main__':
    main()
