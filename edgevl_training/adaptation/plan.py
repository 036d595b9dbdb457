# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What ``edgevl adapt`` tells before it begins: its plan, or how to share the work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import shlex

from edgevl_training.adaptation.steps import Step

# These share their work among processes.
TOGETHER = ('teach', 'distill', 'contrast')
_TORCHRUN = 'torchrun --nproc-per-node 4 -m edgevl_training.cli'


def plan_of(steps: Sequence[Step], config: Path, work: Path) -> str:
    """Say what is done and what is to do."""
    width = max(len(step.folder.name) for step in steps)
    lines = [
        f'  {number:>2}  {step.verb:<9}{step.folder.name:<{width + 2}}{step.state}'
        for number, step in enumerate(steps, 1)
    ]
    return '\n'.join([f'recipe {config}, working in {work}:', *lines])


def commands_of(steps: Sequence[Step], config: Path) -> list[str]:
    """Give the commands up to stage 2, with torchrun where processes can share the work."""
    stage2 = next(number for number, step in enumerate(steps) if step.verb == 'contrast')
    return [
        f'  {_TORCHRUN if step.verb in TOGETHER else "edgevl"} {step.verb} '
        f'{shlex.join(step.words(config))}'
        for step in steps[:stage2 + 1]
    ]
