# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keep the ROS processes of the tests on this machine, apart from each other and from others."""
from __future__ import annotations

import os
from pathlib import Path

from demo.processes import isolate_from_robots
from demo.ros_domain import free_domain_id
import pytest

pytest_plugins = ['support.fixtures']

isolate_from_robots(os.environ)
os.environ['ROS_LOG_DIR'] = str(Path(__file__).resolve().parents[1] / 'build' / 'ros_log')


@pytest.fixture
def ros_domain_id(monkeypatch: pytest.MonkeyPatch) -> int:
    """
    Give the test a ROS domain that nobody uses, here and in the processes that it starts.

    :returns: the id, also set as ``ROS_DOMAIN_ID``.
    """
    domain_id = free_domain_id()
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain_id))
    return domain_id
