# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write config/perception.yaml from the settings: ``python -m edgevl_ros.core.params_file``."""

from __future__ import annotations

from dataclasses import fields
import json
import textwrap
from typing import Any

from edgevl_ros.core.settings import Change, Settings

HEADER = """\
# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
# The parameters of edgevl_perception with their defaults.
# Made from edgevl_ros/core/settings.py: python -m edgevl_ros.core.params_file > {path}
/**:
  ros__parameters:
"""
PATH = 'config/perception.yaml'
INDENT = '    '


def params_file() -> str:
    """Give the text of the parameter file: every setting, explained, at its default."""
    settings = '\n'.join(_entry(declaration) for declaration in fields(Settings))
    return HEADER.format(path=PATH) + settings


def _entry(declaration: Any) -> str:
    comment = ' '.join([declaration.metadata['description'], *_rules(declaration.metadata)])
    lines = textwrap.wrap(comment, 94, initial_indent='# ', subsequent_indent='# ')
    default = declaration.default
    value = list(default) if isinstance(default, tuple) else default
    # JSON is YAML that leaves no doubt about types.
    entry = f'{declaration.name}: {json.dumps(value)}'
    return ''.join(f'{INDENT}{line}\n' for line in [*lines, entry])


def _rules(rules: Any) -> list[str]:
    told = []
    if rules['choices']:
        told.append(f'One of {", ".join(rules["choices"])}.')
    if rules['minimum'] is not None:
        told.append(f'In {rules["minimum"]}..{rules["maximum"]}.')
    if rules['change'] is not Change.LIVE:
        told.append(f'Takes effect {rules["change"].value}.')
    return told


if __name__ == '__main__':
    print(params_file(), end='')
