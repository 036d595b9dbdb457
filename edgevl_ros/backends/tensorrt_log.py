# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What TensorRT says, and who hears it.

TensorRT keeps the first logger that it is given for the whole process, and passes messages to it
as long as anything made with it lives: so there is one logger for each TensorRT, which is never
freed, and those who want to know what is said come and go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
import threading
from typing import Any, TYPE_CHECKING

if TYPE_CHECKING:
    import tensorrt as trt

# What the builder's report of a finished engine begins with; one line for each layer follows.
REPORT = 'Layers:\n'
_TOLD = ('INTERNAL_ERROR', 'ERROR')
_MOST_ERRORS = 10
_LONGEST_REASON = 600

_loggers: dict[str, Any] = {}
_making = threading.Lock()
# Of each who hears, the thread that it came on.
_hearing: dict[Heard, int] = {}


class Heard:
    """The errors that were said, and the builder's report of layers; from any thread."""

    def __init__(self) -> None:
        """Begin with nothing."""
        # The first ones: the later ones follow from them.
        self._errors: deque[str] = deque()
        self.report = ''

    def take(self, severity: str, message: str) -> None:
        """Take a message; what is no error and no report is forgotten."""
        if severity in _TOLD and len(self._errors) < _MOST_ERRORS:
            self._errors.append(' '.join(message.split())[:_LONGEST_REASON])
        elif message.startswith(REPORT):
            self.report = message

    def reason(self) -> str:
        """Give the first error since this was asked last."""
        errors = [self._errors.popleft() for _ in range(len(self._errors))]
        return errors[0] if errors else 'it says no reason'

    def come(self) -> None:
        """Hear what is said from now on; on this thread, where others hear, too."""
        _hearing[self] = threading.get_ident()

    def leave(self) -> None:
        """Hear no more; calling it twice is harmless."""
        _hearing.pop(self, None)


@contextmanager
def heard() -> Iterator[Heard]:
    """Hear for a while."""
    hearing = Heard()
    hearing.come()
    try:
        yield hearing
    finally:
        hearing.leave()


def logger_of(api: Any) -> trt.ILogger:
    """
    Give the one logger of this process.

    :param api: the module ``tensorrt`` or ``tensorrt_rtx``.
    """
    with _making:
        if api.__name__ not in _loggers:
            _loggers[api.__name__] = _make(api)
        made: trt.ILogger = _loggers[api.__name__]
        return made


def _make(api: Any) -> Any:
    class Logger(api.ILogger):  # type: ignore[misc]
        """Passes on what it is told, on whichever of TensorRT's threads."""

        def __init__(self) -> None:
            api.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            _pass_on(severity.name, message)

    return Logger()


def _pass_on(severity: str, message: str) -> None:
    """Pass a message to who hears on this thread; from TensorRT's own threads, to everyone."""
    hearing = list(_hearing.items())
    here = [one for one, thread in hearing if thread == threading.get_ident()]
    for one in here or [one for one, _ in hearing]:
        one.take(severity, message)
