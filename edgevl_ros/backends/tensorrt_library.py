# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT, or TensorRT for RTX with the same interface, whichever this machine has."""

from __future__ import annotations

from dataclasses import dataclass
import importlib
import importlib.util
import traceback
from typing import Any

from edgevl_ros.backends.tensorrt_log import logger_of
from edgevl_ros.core.errors import BackendError

MODULES = ('tensorrt', 'tensorrt_rtx')
OLDEST = (8, 6)
# From here on a network has the types that its graph says; before, flags allow precisions.
STRONGLY_TYPED_FROM = 10
INSTALL = (
    'install TensorRT 8.6 or later (JetPack: apt install python3-libnvinfer; '
    'others: pip install tensorrt, or tensorrt_rtx for a GeForce or RTX card)'
)


@dataclass(frozen=True)
class Library:
    """An imported TensorRT; ``trt`` is the module itself."""

    trt: Any
    name: str
    version: str

    @property
    def is_rtx(self) -> bool:
        """Tell whether it is TensorRT for RTX, which counts its versions from 1."""
        return self.name == 'tensorrt_rtx'

    @property
    def strongly_typed(self) -> bool:
        """Tell whether the types in a graph decide, and not the builder's flags."""
        return self.is_rtx or int(self.version.partition('.')[0]) >= STRONGLY_TYPED_FROM

    def logger(self) -> Any:
        """Give the one logger of this process; `tensorrt_log` tells how to hear it."""
        return logger_of(self.trt)


def release_locals(error: BaseException) -> None:
    """
    Let go of the TensorRT objects that the frames of an error hold, here and now.

    Else they live as long as the error, perhaps until the garbage collector comes. It may come
    while TensorRT calls the logger, which it does under a lock that destroying an object wants.
    """
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__


def is_installed() -> bool:
    """
    Tell, without loading it, whether some TensorRT is there.

    Type stubs leave a folder of that name without a module in it, which could be imported too.
    """
    found = (importlib.util.find_spec(name) for name in MODULES)
    return any(spec is not None and spec.origin is not None for spec in found)


def load_library(name: str = '') -> Library:
    """
    Import TensorRT, or TensorRT for RTX where there is none.

    :param name: the module to import; empty for the first one that is there.
    :raises BackendError: when none can be used, with what was found of each and the remedy.
    """
    found = []
    for module_name in [name] if name else MODULES:
        try:
            return _checked(importlib.import_module(module_name), module_name)
        # A missing libnvinfer is an ImportError, a wrong one an OSError, an odd one anything.
        except Exception as error:  # noqa: B902
            found.append(f'{module_name}: {error}')
    raise BackendError(f'expected TensorRT, found none ({"; ".join(found)}); {INSTALL}')


def _checked(module: Any, name: str) -> Library:
    version = str(getattr(module, '__version__', ''))
    # Type stubs alone can be imported too: as a package without anything in it.
    if not version or not hasattr(module, 'Builder'):
        raise ImportError('a package without TensorRT in it')
    library = Library(module, name, version)
    numbers = tuple(int(part) for part in version.split('.')[:2])
    if not library.is_rtx and numbers < OLDEST:
        raise ImportError(f'version {version} is too old')
    return library
