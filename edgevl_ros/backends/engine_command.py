# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The verb ``engine``: build a bundle's TensorRT engine or choose its backend beforehand.

It runs on the robot, with what the node itself needs and nothing of the workstation.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
import os
from pathlib import Path
import shutil
import signal
import sys
import time
from typing import TextIO

from edgevl_ros.backends.build_progress import Progress
from edgevl_ros.backends.cuda import open_cuda
from edgevl_ros.backends.engine_attempts import forgive
from edgevl_ros.backends.engine_cache import EngineCache, MAX_TIMING_BYTES
from edgevl_ros.backends.engine_recipe import BuildCancelled, PRECISIONS, Target
from edgevl_ros.backends.engines import Engine, Engines
from edgevl_ros.backends.reporter import Reporter
from edgevl_ros.backends.starting import begin_upgrade, open_first
from edgevl_ros.backends.tensorrt_library import Library, load_library
from edgevl_ros.core.bundle import Bundle, check_golden
from edgevl_ros.core.errors import BackendError
from edgevl_ros.core.settings import Settings

_LINE_EVERY_S = 10.0
_BAR_WIDTH = 30
_INTERRUPTED = 130
_POLL_S = 0.1
_PATIENCE_S = 10.0


def run(arguments: list[str]) -> int:
    """Run ``edgevl engine``; give the exit status."""
    options = _parser().parse_args(arguments)
    bundle = Bundle.open(options.bundle)
    return {'build': _run_build, 'choose': _run_choose}[options.verb](options, bundle)


def _run_choose(options: argparse.Namespace, bundle: Bundle) -> int:
    """Do what the node does at its first start with ``auto``, and tell what came of it."""
    settings = Settings().changed(
        {'engine_cache': options.engine_cache, 'threads': options.threads}
    )

    def say(line: str, warning: bool) -> None:  # noqa: ARG001 (a warning reads the same here)
        print(line, flush=True)

    # Else its end would count as one that the engine has caused.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    backend, upgrade, ended = open_first(settings, bundle, say), None, True
    try:
        check_golden(bundle, backend)
        upgrade = begin_upgrade(settings, bundle, backend, say, again=True)
        while upgrade is not None and not upgrade.ended:
            time.sleep(_POLL_S)
    finally:
        if upgrade is not None:
            ended = upgrade.cancel(_PATIENCE_S)
        if not backend.close() or not ended:
            _leave()
        signal.signal(signal.SIGTERM, before)
    return 0


def _leave() -> None:
    """End at once: a thread that is inside a GPU's driver would keep the process from ending."""
    forgive()
    print('edgevl engine: the GPU does not answer; look at dmesg and nvidia-smi', file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _run_build(options: argparse.Namespace, bundle: Bundle) -> int:
    library = load_library(options.library)
    target = Target.parse(options.target) if options.target else open_cuda().device()
    if options.target and not library.is_rtx:
        raise BackendError(
            f'--target: expected TensorRT for RTX, which builds for other GPUs, found '
            f'{library.name} {library.version}; run it on the device, or pip install tensorrt_rtx'
        )
    cache = EngineCache.open(options.engine_cache)
    bar = _Bar(sys.stderr)
    # Without this, Ctrl-C would break off in the middle of whatever waits for the build.
    before = signal.signal(signal.SIGINT, bar.give_up)
    try:
        for backend in _backends(options.backend, bundle):
            _build(bundle, backend, Engines(library, target, cache), options, bar)
    except BuildCancelled:
        print('edgevl engine: interrupted; nothing is left of the build', file=sys.stderr)
        return _INTERRUPTED
    finally:
        bar.clear()
        signal.signal(signal.SIGINT, before)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='edgevl engine', description='Get a bundle ready for TensorRT on this device.'
    )
    verbs = parser.add_subparsers(dest='verb', required=True)
    choose = verbs.add_parser(
        'choose', help="measure TensorRT and ONNX Runtime, and keep the faster for 'auto'",
        description='Measure a bundle on TensorRT and on ONNX Runtime as the node does at its '
        'first start with the backend auto, say which is faster, and remember it for the node.',
    )
    choose.add_argument(
        '--threads', type=int, default=Settings().threads,
        help="of ONNX Runtime, as the node's parameter (default: %(default)s)",
    )
    build = verbs.add_parser(
        'build', help='build the engine now, so that the node finds it at its first start',
        description='Build the TensorRT engine of a bundle on the device that will run it. The '
        'node does the same at its first start, and labels with ONNX Runtime meanwhile.',
    )
    for verb in (choose, build):
        verb.add_argument(
            '--bundle', default='', help='folder of the bundle (default: the starter bundle)'
        )
        verb.add_argument(
            '--engine-cache', default='', metavar='FOLDER',
            help="where to keep engines, as the node's parameter engine_cache "
            '(default: ~/.cache/edgevl_ros/engines)',
        )
    build.add_argument(
        '--backend', choices=['all', *PRECISIONS], default='all',
        help='build for this backend (default: each that the bundle has a graph for)',
    )
    build.add_argument(
        '--library', choices=['tensorrt', 'tensorrt_rtx'], default='',
        help='which TensorRT to build with (default: the one that the node takes)',
    )
    build.add_argument(
        '--target', default='', metavar='SM',
        help='build for another GPU, such as sm86; needs TensorRT for RTX and no GPU here',
    )
    build.add_argument(
        '--timing-cache', type=Path, metavar='FILE',
        help='begin with what a build on the same kind of GPU has measured, and write it back',
    )
    build.add_argument('--layers', action='store_true', help='list what layers compute in')
    return parser


def _backends(wanted: str, bundle: Bundle) -> list[str]:
    if wanted != 'all':
        return [wanted]
    return [name for name in PRECISIONS if name in bundle.models] or ['tensorrt']


def _build(
    bundle: Bundle, backend: str, engines: Engines, options: argparse.Namespace, bar: _Bar
) -> None:
    bar.begin(f'{bundle.name}, {backend}')
    cache, given = engines.cache, options.timing_cache
    assert cache is not None
    began_s = time.monotonic()
    engine = engines.get(bundle, backend, bar, timing_cache=_timing_cache(given))
    bar.clear()
    if given is not None:
        _write_timing_cache(given, cache.timing(engine.key), engines.library)
    took = f'built in {time.monotonic() - began_s:.0f} s' if engine.built else 'built earlier'
    print(f'{bundle.name}, {backend}: {took}, {len(engine.content) / 1e6:.1f} MB, {cache.folder}')
    _tell_layers(engine, engines.library, options.layers)


def _timing_cache(path: Path | None) -> bytes:
    """
    Read what builds elsewhere have measured; nothing where there is no such file yet.

    :raises BackendError: when it cannot be read.
    """
    if path is None or not path.exists():
        return b''
    try:
        with path.open('rb') as stream:
            content = stream.read(MAX_TIMING_BYTES + 1)
    except OSError as error:
        raise BackendError(f'--timing-cache {path}: expected a file, found {error}') from error
    if len(content) > MAX_TIMING_BYTES:
        raise BackendError(
            f'--timing-cache {path}: expected at most {MAX_TIMING_BYTES} bytes, found more; give '
            'a file that this command has written'
        )
    return content


def _write_timing_cache(path: Path, content: bytes, library: Library) -> None:
    if not content:
        print(f'--timing-cache: {library.name} {library.version} has measured nothing to keep')
        return
    temporary = path.with_name(f'{path.name}.partial')
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise BackendError(
            f'--timing-cache {path}: expected a file that can be written, found {error}'
        ) from error


def _tell_layers(engine: Engine, library: Library, each: bool) -> None:
    products = [layer for layer in engine.layers if layer.multiplies]
    if not products:
        if each:
            print(f'{library.name} {library.version} does not tell about layers while it builds')
        return
    others = [layer for layer in products if not layer.is_int8]
    print(
        f'{len(products) - len(others)} of {len(products)} convolutions and matrix products '
        'compute in INT8'
    )
    for layer in products if each else ():
        kinds = f'{", ".join(layer.inputs)} x {", ".join(layer.constants)}'
        print(f'  {layer.kind:<16}{kinds:<40}{layer.name}')


class _Bar(Reporter):
    """A bar on a terminal, a line now and then elsewhere; Ctrl-C gives up."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._title = ''
        self._drawn = self._gave_up = False
        self._began_s = self._told_s = time.monotonic()

    def begin(self, title: str) -> None:
        self._title = title
        self._began_s = self._told_s = time.monotonic()

    def say(self, line: str) -> None:
        self.clear()
        print(line, file=self._stream, flush=True)

    def progress(self, progress: Progress) -> None:
        now_s = time.monotonic()
        # TensorRT counts steps, and says nothing while one takes long: seconds go on.
        progress = replace(progress, phase=f'{progress.phase}, {now_s - self._began_s:.0f} s')
        if self._stream.isatty():
            self._draw(progress)
        elif now_s - self._told_s >= _LINE_EVERY_S:
            self._told_s = now_s
            share = '' if progress.share is None else f'{progress.share:.0%}, '
            print(f'{self._title}: {share}{progress.phase}', file=self._stream, flush=True)

    def cancelled(self) -> bool:
        return self._gave_up

    def give_up(self, *_: object) -> None:
        """Take a signal."""
        self._gave_up = True

    def clear(self) -> None:
        """Take the bar away."""
        if self._drawn:
            self._drawn = False
            self._stream.write('\r\x1b[K')
            self._stream.flush()

    def _draw(self, progress: Progress) -> None:
        done = round(_BAR_WIDTH * (progress.share or 0.0))
        share = '' if progress.share is None else f'{progress.share:4.0%}'
        text = f'[{"#" * done}{"-" * (_BAR_WIDTH - done)}] {share}  {progress.phase}'
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f'\r\x1b[K{text[:width]}')
        self._stream.flush()
        self._drawn = True
