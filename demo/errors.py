# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the demo tells its user when it cannot go on."""


class DemoError(Exception):
    """The demo cannot go on; the message says why and how to mend it."""
