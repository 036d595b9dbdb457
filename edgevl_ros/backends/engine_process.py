# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Build an engine in a process of its own.

A builder takes gigabytes, minutes and every core, and some TensorRT cannot be told to stop: a
process gives all of it back, and a crash in it costs a robot its engine but not its node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import contextlib
from dataclasses import asdict
import json
import os
from pathlib import Path
import subprocess
import sys
import threading
from typing import Any

from edgevl_ros.backends.build_progress import Progress
from edgevl_ros.backends.engine_layers import Layer
from edgevl_ros.backends.engine_recipe import BuildCancelled, EngineRecipe, OnnxGraph, Target
from edgevl_ros.backends.tensorrt_builder import Built
from edgevl_ros.core.errors import BackendError

_WORKER = 'edgevl_ros.backends.engine_worker'
_PATIENCE_S = 5.0
_POLL_S = 0.1
_LONGEST_TAIL = 300
_LISTS = ('inputs', 'constants', 'outputs', 'nodes')


def build_in_process(
    library: str,
    graph: OnnxGraph,
    recipe: EngineRecipe,
    target: Target,
    *,
    report: Callable[[Progress], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
    timing_caches: Sequence[bytes] = (),
) -> Built:
    """
    Build an engine as `build_engine` does, in another process with lower priority.

    :param library: the module to build with, as `Library.name`.
    :param report: called ten times a second, also where TensorRT tells nothing.
    :raises BuildCancelled: when it was told to stop; the process is gone then.
    :raises BackendError: when the build fails or its process dies, with the reason.
    """
    with contextlib.ExitStack() as stack:
        given = [stack.enter_context(_memory(content)) for content in timing_caches]
        files = {
            name: stack.enter_context(_memory(b''))
            for name in ('timing_out', 'engine_out', 'errors')
        }
        handles = {name: file.fileno() for name, file in files.items()}
        timing_in = [file.fileno() for file in given]
        process = subprocess.Popen(
            [sys.executable, '-m', _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=files['errors'], pass_fds=[*handles.values(), *timing_in],
            # Not where the node was started: Python would import what happens to lie there.
            cwd='/', env=_environment(),
            # Ctrl-C is for the one who waits, who then ends this in an orderly way.
            start_new_session=True,
        )
        stack.callback(_end, process)
        request = {
            'library': library, 'graph': str(graph.path.resolve()), 'sha256': graph.sha256,
            'recipe': asdict(recipe), 'target': asdict(target), 'timing_in': timing_in, **handles,
        }
        layers = _converse(process, request, report, cancelled, files['errors'])
        return Built(_content(files['engine_out']), layers, _content(files['timing_out']))


def _memory(content: bytes) -> Any:
    """Make a file without a name in memory, which no full disk or stranger comes between."""
    file = os.fdopen(os.memfd_create('edgevl_engine'), 'w+b')
    file.write(content)
    file.flush()
    file.seek(0)
    return file


def _environment() -> dict[str, str]:
    """Let the process import what this one does, wherever that comes from, and nothing else."""
    # Last, where this package is: it may have been found in the folder that is left out.
    entries = [*filter(None, sys.path), str(Path(__file__).parents[2])]
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in entries)
    return {**os.environ, 'PYTHONPATH': path, 'PYTHONSAFEPATH': '1'}


def _converse(
    process: subprocess.Popen[bytes],
    request: dict[str, Any],
    report: Callable[[Progress], None],
    cancelled: Callable[[], bool],
    errors: Any,
) -> tuple[Layer, ...]:
    """Tell the process what to build and listen to it until it ends."""
    assert process.stdin is not None and process.stdout is not None
    answers: dict[str, Any] = {'progress': Progress(None, 'starting')}
    # A reader of its own, so that a process that says nothing can be cancelled as well.
    reader = threading.Thread(target=_listen, args=(process.stdout, answers), daemon=True)
    reader.start()
    try:
        process.stdin.write(json.dumps(request).encode() + b'\n')
        process.stdin.flush()
    except BrokenPipeError:
        pass  # It ended at once; the reason follows.
    # TensorRT may also hang when its process ends.
    while reader.is_alive() or process.poll() is None:
        if cancelled():
            raise BuildCancelled('the build of a TensorRT engine was cancelled')
        # Also without news: whoever waits wants to know that it goes on.
        report(answers['progress'])
        reader.join(_POLL_S)
        if not reader.is_alive():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)
    status = process.returncode
    if 'error' in answers:
        raise BackendError(answers['error'])
    if status or 'layers' not in answers:
        raise BackendError(
            f'expected an engine of the build process, found that it ended with {status}: '
            f'{_tail(errors)}; is there memory enough? choose the backend onnxruntime else'
        )
    return tuple(
        Layer(item['name'], item['kind'], *(tuple(item[part]) for part in _LISTS))
        for item in answers['layers']
    )


def _listen(stream: Any, answers: dict[str, Any]) -> None:
    with stream:
        for line in stream:
            if not line.endswith(b'\n'):
                break  # It was killed while it wrote.
            said = json.loads(line)
            if 'share' in said:
                answers['progress'] = Progress(said['share'], said['phase'])
            else:
                answers.update(said)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _content(file: Any) -> bytes:
    file.seek(0)
    content: bytes = file.read()
    return content


def _tail(errors: Any) -> str:
    text = ' '.join(_content(errors).decode(errors='replace').split())
    return text[-_LONGEST_TAIL:] or 'it says no reason'
