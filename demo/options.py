# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

FIRST_VOCABULARY = (
    'coffee cup', 'cat', 'motorcycle', 'rocket', 'tripod', 'brick wall', 'kitchen', 'bicycle',
    'dog', 'street',
)
SECOND_VOCABULARY = ('drink', 'animal', 'motorbike', 'missile', 'camera', 'wall')


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; exits with a message when it makes no sense."""
    parser = argparse.ArgumentParser(
        prog='python -m demo',
        description='Watch the edgevl_ros perception node label real photographs, or a rosbag. '
        'Without --bag, a camera process publishes the photographs that scikit-image ships and '
        'half-way the vocabulary is changed through the ROS parameter service. At the end '
        'OUTPUT/contact_sheet.png shows every picture with its labels.',
    )
    parser.add_argument(
        '--output', type=Path, default=Path('demo_output'), metavar='FOLDER',
        help='folder for the contact sheet and the logs (default: %(default)s)',
    )
    parser.add_argument(
        '--bundle', type=Path, metavar='FOLDER',
        help='bundle to run (default: the starter bundle)',
    )
    parser.add_argument(
        '--vocabulary', type=_labels, metavar='A,B,...',
        help='labels to choose from, in plain English (default: words for the photographs; with '
        "--bag the labels of the truth, or else the bundle's own)",
    )
    photographs = parser.add_argument_group('photographs')
    photographs.add_argument(
        '--second-vocabulary', type=_labels, default=SECOND_VOCABULARY, metavar='A,B,...',
        help='labels from half-way on (default: %(default)s)'.replace(
            '%(default)s', ','.join(SECOND_VOCABULARY)),
    )
    photographs.add_argument(
        '--seconds', type=_positive, default=20.0, metavar='S',
        help='how long the camera publishes (default: %(default)s)',
    )
    bag = parser.add_argument_group('rosbag')
    bag.add_argument(
        '--bag', type=Path, metavar='PATH',
        help='rosbag2 folder, .mcap or .db3 file, or ROS 1 .bag file to play instead',
    )
    bag.add_argument(
        '--truth', type=Path, metavar='CSV',
        help='CSV file with columns stamp_ns,label to measure accuracy with (default: '
        '<bag>_truth.csv beside the bag or in it, where there is one)',
    )
    bag.add_argument(
        '--rgb-topic', metavar='TOPIC',
        help="colour topic in the bag, or 'none' (default: found by type, encoding and name)",
    )
    bag.add_argument(
        '--depth-topic', metavar='TOPIC', help="depth topic in the bag, or 'none' (default: found)"
    )
    bag.add_argument(
        '--every-frame', action=argparse.BooleanOptionalAction,
        help='publish a frame only after the last one was labelled, or 2 s have passed, so that '
        'accuracy does not depend on the speed of the machine (default: with a truth file)',
    )
    parser.add_argument(
        '--rate', type=_positive, metavar='X',
        help='photographs: frames in a second (default: 10); rosbag: how many times as fast as '
        'recorded (default: 1)',
    )
    options = parser.parse_args(arguments)
    if options.bag is None:
        for name in ('truth', 'rgb_topic', 'depth_topic', 'every_frame'):
            if getattr(options, name) is not None:
                parser.error(f'--{name.replace("_", "-")} needs --bag')
    options.rate = options.rate or (10.0 if options.bag is None else 1.0)
    return options


def _labels(text: str) -> tuple[str, ...]:
    labels = tuple(label.strip() for label in text.split(',') if label.strip())
    if not labels:
        raise argparse.ArgumentTypeError('expected labels separated by commas, found none')
    return labels


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f'expected a number above 0, found {text}')
    return value
