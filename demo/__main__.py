# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run the demo: ``python -m demo --help``."""

from __future__ import annotations

import os
import signal
import sys

from demo.errors import DemoError
from demo.options import parse
from demo.processes import isolate_from_robots
from demo.screen import Screen
from edgevl_training.errors import SourceError

INTERRUPTED = 130


def main() -> int:
    """Tell the story that the command line asks for; return the exit code."""
    options = parse()
    for request in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(request, _interrupt)
    isolate_from_robots(os.environ)
    with Screen() as screen:
        try:
            options.output.mkdir(parents=True, exist_ok=True)
            # Late, because they load ROS, which reads the environment.
            if options.bag is None:
                from demo.photograph_story import tell
            else:
                from demo.bag_story import tell
            tell(options, screen)
        except (DemoError, SourceError, OSError) as error:
            screen.freeze()
            print(f'demo: {error}', file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            screen.freeze()
            print('Stopped.', file=sys.stderr)
            return INTERRUPTED
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == '__main__':
    sys.exit(main())
