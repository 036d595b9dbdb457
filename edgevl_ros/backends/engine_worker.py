# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The process that builds one engine and ends.

It reads what to build from its standard input, one line of JSON, tells its progress on its
standard output, a line of JSON each, and writes the engine into files that were opened for it. It
ends when its standard input does: nobody waits for the engine any more.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict
import gc
import json
import os
from pathlib import Path
import sys
import threading
import time
from typing import Any

from edgevl_ros.backends.build_progress import Progress
from edgevl_ros.backends.engine_recipe import EngineRecipe, OnnxGraph, Target
from edgevl_ros.backends.tensorrt_builder import build_engine, Built
from edgevl_ros.backends.tensorrt_library import load_library
from edgevl_ros.core.errors import BackendError

# Whoever labels frames meanwhile comes first.
NICENESS = 10
_FIRST_TO_GO = Path('/proc/self/oom_score_adj')
_PROGRESS_EVERY_S = 0.1


def main() -> int:
    """Build; give the exit status."""
    # What libraries print themselves must not come between the lines.
    lines = os.fdopen(os.dup(1), 'w', encoding='utf-8')
    os.dup2(2, 1)
    _step_back()
    # See `release_locals`; a process this short needs no collector.
    gc.disable()
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    teller = _Teller(lines)
    try:
        built = _build(request, teller)
    except BackendError as error:
        teller.tell({'error': str(error)})
        return 1
    teller.tell({'layers': [asdict(layer) for layer in built.layers]})
    return 0


def _step_back() -> None:
    """Let everything else on the robot go first, and be the first to go when memory runs out."""
    # What is started with a real-time priority would else build with it.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.nice(NICENESS)
    with contextlib.suppress(OSError):
        _FIRST_TO_GO.write_text('1000', encoding='ascii')


def _build(request: dict[str, Any], teller: _Teller) -> Built:
    graph = OnnxGraph.read(Path(request['graph']))
    if graph.sha256 != request['sha256']:
        raise BackendError(
            f'{graph.path}: expected the graph that was asked for, found that it has changed '
            'meanwhile; try again'
        )
    major, minor = request['target'].pop('capability')
    target = Target((major, minor), **request['target'])
    built = build_engine(
        load_library(request['library']),
        graph,
        EngineRecipe(**request['recipe']),
        target,
        report=teller.progress,
        timing_caches=[_content(handle) for handle in request['timing_in']],
    )
    _write(request['engine_out'], built.engine)
    _write(request['timing_out'], built.timing_cache)
    return built


class _Teller:
    """Writes lines, and of progress not more than anyone can read."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._told_s = float('-inf')
        self._lock = threading.Lock()

    def progress(self, progress: Progress) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= _PROGRESS_EVERY_S:
            self._told_s = now_s
            self.tell(asdict(progress))

    def tell(self, what: dict[str, Any]) -> None:
        with self._lock:
            self._stream.write(json.dumps(what) + '\n')
            self._stream.flush()


def _content(handle: int) -> bytes:
    with os.fdopen(handle, 'rb') as stream:
        return stream.read()


def _write(handle: int, content: bytes) -> None:
    with os.fdopen(handle, 'wb') as stream:
        stream.write(content)


def _end_with_input() -> None:
    # Not sys.stdin, whose buffer the interpreter wants for itself when it ends.
    while os.read(0, 1 << 12):
        pass
    os._exit(2)


if __name__ == '__main__':
    sys.exit(main())
