# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Write the requirements-*.txt of this folder anew from the requirements-*.in.

    pip install uv
    python3 scripts/update_pins.py

One resolution over everything comes first, so that a package named by two files gets the same
version in both; the pins hold for every Python from 3.10 on (environment markers tell them apart).
"""
from __future__ import annotations

from pathlib import Path
import subprocess
import sys
import tempfile

HERE = Path(__file__).resolve().parent
# Requirements that packages set too narrowly for this environment.
OVERRIDES = HERE / 'overrides.txt'
HEADER = '# Written by scripts/update_pins.py from {source}; do not edit.\n'


def resolve(sources, constraints=None):
    """Return the pins of some requirement files, as uv prints them."""
    command = [
        'uv', 'pip', 'compile', '--quiet', '--universal', '--python-version', '3.10',
        '--no-header', '--no-annotate', '--override', str(OVERRIDES), *map(str, sources)]
    if constraints:
        command += ['--constraints', str(constraints)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main():
    """Pin every file under the constraints of the resolution over all of them."""
    sources = sorted(HERE.glob('requirements-*.in'))
    everything = resolve(source for source in sources if 'kilted' not in source.name)
    shared = [line for line in everything.splitlines() if not line.startswith('ros-')]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / 'constraints.txt'
        constraints.write_text('\n'.join(shared) + '\n')
        for source in sources:
            pins = resolve([source], constraints)
            source.with_suffix('.txt').write_text(HEADER.format(source=source.name) + pins)
    return 0


if __name__ == '__main__':
    sys.exit(main())
