# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run a step of an adaptation, and say how to go on where it stops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from datetime import timedelta
import importlib
import io
from pathlib import Path
import sys
import time

from edgevl_ros.core.errors import EdgeVLError
from edgevl_training.adaptation.steps import Step
from edgevl_training.errors import OtherOutputError


def run_step(steps: Sequence[Step], number: int, config: Path) -> int:
    """
    Run one of the steps, or see that it was finished with the same options; give its status.

    :raises EdgeVLError: what the verb raised, with the way to go on.
    """
    step = steps[number]
    title = f'[{number + 1}/{len(steps)}] {step.verb} -> {step.folder}'
    finished = step.state == 'done'
    if not finished:
        print(title, flush=True)
    started_s = time.monotonic()
    # What was finished has told so before; what was measured is told at the very end.
    quiet = finished or step.verb == 'evaluate'
    told = io.StringIO()
    with redirect_stdout(told) if quiet else nullcontext():
        with _told_how_to_go_on(steps, number):
            status = _call(step, config)
    seconds = round(time.monotonic() - started_s)
    if status:
        print(told.getvalue(), end='', flush=True)
        print(
            f'edgevl adapt: stopped at {step.verb}; to try it with other options, remove '
            f'{step.folder} if it is there: what was finished before is kept', file=sys.stderr,
        )
    elif finished:
        print(f'{title}: finished earlier', flush=True)
    else:
        print(f'{" " * (title.index("]") + 1)} took {timedelta(seconds=seconds)}', flush=True)
    return status


def _call(step: Step, config: Path) -> int:
    from edgevl_training.cli import VERBS

    status: int = importlib.import_module(VERBS[step.verb][0]).run(step.words(config))
    return status


@contextmanager
def _told_how_to_go_on(steps: Sequence[Step], number: int) -> Iterator[None]:
    step = steps[number]
    try:
        yield
    except OtherOutputError as error:
        old = [str(one.folder) for one in _made_from(steps, number) if one.folder.exists()]
        raise OtherOutputError(
            f'{error}\nedgevl adapt: {step.folder} was made with other options or from other '
            f'inputs. To make it anew, remove {" ".join(old)}; or name another --work and --out'
        ) from error
    except EdgeVLError as error:
        if step.compares:
            raise
        raise type(error)(
            f'{error}\nedgevl adapt: stopped at {step.verb} (its options: --set '
            f'{step.verb}.OPTION=VALUE); what was finished is kept, the same command goes on from '
            'there'
        ) from error


def _made_from(steps: Sequence[Step], number: int) -> list[Step]:
    """List a step and all that read, directly or not, what it writes."""
    found = [steps[number]]
    for step in steps[number + 1:]:
        read = {word.rpartition('=')[2] for word in step.arguments}
        if any(str(before.folder) in read for before in found):
            found.append(step)
    return found
