# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The recorder in its own process, and a camera that it hears over DDS."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from copy import deepcopy
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

PATIENCE_S = 30.0
RELIABLE = QoSProfile(depth=50)
BEST_EFFORT = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class RecorderProcess:
    """The verb or the node as a user starts it, with its output kept in a file."""

    def __init__(
        self, log: Path, domain_id: int, *command: str, cwd: Path | None = None
    ) -> None:
        """Start ``python -m`` with these words."""
        self._log = log
        environment = {**os.environ, 'ROS_DOMAIN_ID': str(domain_id), 'PYTHONUNBUFFERED': '1'}
        with log.open('w') as output:
            self.process = subprocess.Popen(
                [sys.executable, '-m', *command], stdout=output, stderr=output, env=environment,
                cwd=cwd,
            )

    @property
    def output(self) -> str:
        """Everything the process has printed so far."""
        return self._log.read_text()

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal; give the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def stop(self) -> None:
        """End the process; a killed one would leave its shared memory behind."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Camera:
    """Publishes messages and remembers them."""

    def __init__(self, domain_id: int) -> None:
        """Join the domain and listen to the diagnostics."""
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self._node = Node('camera', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._publishers: dict[str, Any] = {}
        self.sent: dict[str, list[Any]] = defaultdict(list)
        self.statuses: list[Any] = []
        self._node.create_subscription(
            DiagnosticArray, '/diagnostics', lambda m: self.statuses.extend(m.status), 10
        )

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def offer(self, topic: str, kind: Any, qos: QoSProfile) -> None:
        """Announce a topic."""
        self._publishers[topic] = self._node.create_publisher(kind, topic, qos)

    def publish(self, topic: str, message: Any) -> None:
        """Publish a message."""
        self.sent[topic].append(deepcopy(message))
        self._publishers[topic].publish(message)

    def wait_until_heard(self, *topics: str) -> None:
        """Wait until the recorder has subscribed to topics."""
        for topic in topics:
            self.spin_until(
                self._publishers[topic].get_subscription_count, f'a subscriber of {topic}'
            )

    def spin_until(self, done: Callable[[], Any], what: str) -> Any:
        """Work off messages until something holds; fail with its name if it never does."""
        deadline = time.monotonic() + PATIENCE_S
        while not (answer := done()):
            assert time.monotonic() < deadline, f'waited {PATIENCE_S} s in vain for {what}'
            self._executor.spin_once(timeout_sec=0.02)
        return answer

    def spin_for(self, seconds: float) -> None:
        """Work off messages for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=0.01)

    def status(self, accept: Callable[[Any], bool], what: str) -> Any:
        """Wait for a fresh status of the recorder that is accepted."""
        del self.statuses[:]
        return self.spin_until(lambda: next(filter(accept, self.statuses), None), what)
