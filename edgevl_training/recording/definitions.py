# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Full texts of message types, as rosbag2 stores them, from the installed ``.msg`` files."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import re
import sys

_SEPARATOR = '=' * 80
# A field is a type (with a package, or of the same one), bounds, and a name; constants too.
_FIELD = re.compile(
    r'^\s*(?:(?P<package>[a-z]\w*)/(?:msg/)?)?(?P<name>[A-Z]\w*)(?:<=\d+)?(?:\[[^]]*\])?\s+\w',
    re.MULTILINE,
)


def definition_of(message_type: str) -> str | None:
    """
    Give the text of a message type followed by those of all types in it (encoding ``ros2msg``).

    :returns: None when a file is missing, as for types that are written in IDL.
    """
    package, _, name = message_type.partition('/msg/')
    texts: dict[str, str] = {}
    waiting = [(package, name)]
    while waiting:
        package, name = waiting.pop(0)
        if f'{package}/{name}' in texts:
            continue
        path = _find(package, name)
        if path is None:
            return None
        texts[f'{package}/{name}'] = text = path.read_text(encoding='utf-8')
        waiting += _dependencies(text, package)
    first, *others = texts.items()
    return first[1] + ''.join(
        f'\n{_SEPARATOR}\nMSG: {name}\n{text}' for name, text in others
    )


def _dependencies(text: str, package: str) -> Iterator[tuple[str, str]]:
    for field in _FIELD.finditer(text):
        yield field['package'] or package, field['name']


def _find(package: str, name: str) -> Path | None:
    # The prefixes of a ROS installation, then of Python itself, where ROS wheels put their files.
    prefixes = [*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix]
    for prefix in filter(None, prefixes):
        path = Path(prefix) / 'share' / package / 'msg' / f'{name}.msg'
        if path.is_file():
            return path
    return None
