# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A backend that labels at once and, where it is wanted, a better one when that is ready."""

from __future__ import annotations

from edgevl_ros.backends import open_backend
from edgevl_ros.backends.engine_recipe import PRECISIONS
from edgevl_ros.backends.reporter import LogReporter
from edgevl_ros.backends.switching import SwitchingBackend
from edgevl_ros.backends.upgrade import Say, Upgrade
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.errors import BackendError, EdgeVLError
from edgevl_ros.core.settings import Settings


def open_first(settings: Settings, bundle: Bundle, say: Say) -> SwitchingBackend:
    """
    Open the backend that labels first: ONNX Runtime where TensorRT is to follow.

    Where ONNX Runtime is not installed, TensorRT has to be first; then its engine must have been
    built, which would take too long for whoever waits here.

    :raises BackendError: when no backend can be opened, with what was found of each.
    :raises BundleError: when the bundle has no model for the one that was asked for.
    """
    def open_one(name: str) -> SwitchingBackend:
        reporter = LogReporter(lambda line: say(line, False))
        return SwitchingBackend(open_backend(
            name, bundle, settings.threads, settings.engine_cache, reporter, builds=False
        ))

    if not _upgrades(settings):
        return open_one(settings.backend)
    try:
        return open_one('onnxruntime')
    except EdgeVLError as error:
        say(f'TensorRT has to do alone: {error}', True)
        try:
            return open_one('tensorrt' if settings.backend == 'auto' else settings.backend)
        except EdgeVLError as second:
            raise BackendError(f'{error}; {second}') from second


def begin_upgrade(
    settings: Settings, bundle: Bundle, backend: SwitchingBackend, say: Say, again: bool = False
) -> Upgrade | None:
    """
    Begin to go over to TensorRT where that is wanted; None where it is not.

    :param again: whether ``auto`` measures although it remembers what it chose.
    """
    if not _upgrades(settings) or not backend.name.startswith('onnxruntime'):
        return None
    return Upgrade(settings, bundle, backend, say, again)


def _upgrades(settings: Settings) -> bool:
    return settings.backend == 'auto' or settings.backend in PRECISIONS
