# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where executables begin: before ROS is imported, so that its absence can be explained."""

from __future__ import annotations

import sys


def perception_node() -> int:
    """Run the perception node; without ROS 2, say in one line what is missing."""
    try:
        from edgevl_ros.nodes.perception_node import main
    except KeyboardInterrupt:
        return 0
    except ModuleNotFoundError as error:
        print(
            f'perception_node: expected a ROS 2 environment, found no module {error.name!r}; '
            'source /opt/ros/<distribution>/setup.bash and, if it is still missing, '
            'rosdep install --from-paths src --ignore-src',
            file=sys.stderr,
        )
        return 1
    return main()
