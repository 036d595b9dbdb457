# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keep the ROS processes of the tests on this machine, apart from each other and from others."""
from __future__ import annotations

import os
from pathlib import Path

from demo.ros_domain import free_domain_id
import pytest

pytest_plugins = ['support.fixtures']

# ROS 2 Humble knows the second variable only; from Jazzy on it is a warning.
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
if os.environ.get('ROS_DISTRO') == 'humble':
    os.environ['ROS_LOCALHOST_ONLY'] = '1'
ROOT = Path(__file__).resolve().parents[1]
os.environ['ROS_LOG_DIR'] = str(ROOT / 'build' / 'ros_log')
# Fast DDS 2 reads the first variable, Fast DDS 3 the second; without it raw images get lost.
for variable in ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'):
    os.environ[variable] = str(ROOT / 'config' / 'fastdds_large_images.xml')


@pytest.fixture
def ros_domain_id(monkeypatch: pytest.MonkeyPatch) -> int:
    """
    Give the test a ROS domain that nobody uses, here and in the processes that it starts.

    :returns: the id, also set as ``ROS_DOMAIN_ID``.
    """
    domain_id = free_domain_id()
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain_id))
    return domain_id
