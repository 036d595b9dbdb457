# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node under watch: started, spun until it answers, and never waited for in vain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import contextlib
from contextlib import contextmanager
import json
from pathlib import Path
import time

from demo.errors import DemoError
from demo.processes import Child, Children, node_arguments
from demo.viewer import NODE, Viewer
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
import rclpy
from rclpy.signals import SignalHandlerOptions

FIRST_LABEL_SECONDS = 60.0
ASK_AGAIN_SECONDS = 1.0


class Watch:
    """The perception node as a child process, with the viewer that listens to it."""

    def __init__(self, children: Children, node: Child, viewer: Viewer) -> None:
        """Start counting the seconds to the first label now."""
        self.viewer = viewer
        self._children = children
        self._node = node
        self._started = time.monotonic()
        self._first_label_s: float | None = None

    @property
    def first_label_seconds(self) -> float | None:
        """Give the seconds from the start of the node to its first label, None before that."""
        return self._first_label_s

    def wait_until_active(self) -> None:
        """
        Wait until the node has opened its bundle, and it and the viewer know of each other.

        DDS announces the endpoints of a process in the order in which they were made, so an
        answer to the client made here proves that the node knows every publisher made before,
        and the vocabulary, subscribed to last, that scenes will arrive.

        :raises DemoError: when it cannot, with the end of its log, where it says why.
        """
        client = self.viewer.create_client(GetState, f'{NODE}/get_state')
        reply, asked = None, float('-inf')
        while reply is None or not reply.done():
            self.spin(0.05)
            if client.service_is_ready() and time.monotonic() - asked > ASK_AGAIN_SECONDS:
                reply, asked = client.call_async(GetState.Request()), time.monotonic()
        # The node starts itself before it answers anybody, so this is how that ended.
        if reply.result().current_state.id != State.PRIMARY_STATE_ACTIVE:
            raise DemoError(f'the node could not start; {self._log()}')
        while not self.viewer.vocabulary:
            self.spin(0.05)

    def spin(self, seconds: float) -> None:
        """
        Listen for so many seconds.

        :raises DemoError: when a process has failed, or there is no label after a minute.
        """
        self.viewer.spin(seconds)
        self._children.check()
        if self._node.exit_code is not None:
            raise DemoError(f'the node ended on its own; {self._log()}')
        elapsed = time.monotonic() - self._started
        if self._first_label_s is None:
            if self.viewer.answers:
                self._first_label_s = elapsed
            elif elapsed > FIRST_LABEL_SECONDS:
                raise DemoError(f'no label within {FIRST_LABEL_SECONDS:.0f} s; {self._log()}')

    def _log(self) -> str:
        return f'the end of {self._node.log}:\n{self._node.log_tail()}'


@contextmanager
def start_node(
    children: Children,
    output: Path,
    remappings: Mapping[str, str],
    *,
    bundle: Path | None,
    vocabulary: Sequence[str] | None,
    parameters: Mapping[str, str] | None = None,
) -> Iterator[Watch]:
    """Start the perception node as a user would, and a viewer for the time of the context."""
    values = dict(parameters or {})
    if bundle is not None:
        values['bundle'] = json.dumps(str(bundle.resolve()))
    if vocabulary is not None:
        # A JSON list of strings is also a YAML one, which is what ROS reads.
        values['vocabulary'] = json.dumps(list(vocabulary), ensure_ascii=False)
    # Ctrl-C stays Python's own, so that it ends the story and with it the processes.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = children.start(
            'perception node', node_arguments(remappings, values), output / 'node.log'
        )
        with contextlib.closing(Viewer()) as viewer:
            yield Watch(children, node, viewer)
    finally:
        rclpy.try_shutdown()
