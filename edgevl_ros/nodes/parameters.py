# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings as ROS parameters, declared with descriptors and checked before any is used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from edgevl_ros.core.errors import SettingsError
from edgevl_ros.core.settings import Change, Settings
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    ParameterType,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

_TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
    tuple: ParameterType.PARAMETER_STRING_ARRAY,
}
_NAMES = frozenset(declaration.name for declaration in fields(Settings))


def declare(node: Node) -> Settings:
    """
    Declare a parameter for every setting and read the values the node was started with.

    :raises SettingsError: when one of them does not fit.
    """
    values = {}
    for declaration in fields(Settings):
        default = declaration.default
        default = list(default) if isinstance(default, tuple) else default
        parameter = node.declare_parameter(declaration.name, default, _descriptor(declaration))
        values[declaration.name] = parameter.value
    return Settings().changed(values)


def changed(settings: Settings, parameters: Iterable[Parameter], configured: bool) -> Settings:
    """
    Give the settings that these parameters ask for; parameters that are no settings are ignored.

    :param configured: whether the node holds a bundle, so that some settings must wait.
    :raises SettingsError: when a value does not fit or cannot change now; nothing has changed.
    """
    values = {p.name: p.value for p in parameters if p.name in _NAMES}
    wanted = settings.changed(values)
    for declaration in fields(Settings):
        if getattr(wanted, declaration.name) == getattr(settings, declaration.name):
            continue
        change = declaration.metadata['change']
        if change is Change.START:
            raise SettingsError(
                f'{declaration.name}: takes effect at start only; restart the node'
            )
        if change is Change.CONFIGURE and configured:
            raise SettingsError(
                f'{declaration.name}: takes effect at configuring; deactivate and clean up '
                'the node (ros2 lifecycle set), set it again, then configure and activate'
            )
    return wanted


def _descriptor(declaration: Any) -> ParameterDescriptor:
    rules = declaration.metadata
    descriptor = ParameterDescriptor(
        name=declaration.name,
        type=_TYPES[type(declaration.default)],
        description=rules['description'],
        additional_constraints=_constraints(rules),
        read_only=rules['change'] is Change.START,
    )
    low, high = rules['minimum'], rules['maximum']
    if low is not None and isinstance(declaration.default, int):
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=0)]
    elif low is not None:
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
        ]
    return descriptor


def _constraints(rules: Any) -> str:
    constraints = [f'Can change {rules["change"].value}.']
    if rules['choices']:
        constraints.append(f'One of: {", ".join(rules["choices"])}.')
    return ' '.join(constraints)
