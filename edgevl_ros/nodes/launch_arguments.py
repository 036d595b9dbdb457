# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Launch arguments, which are always text, as parameters of the perception node."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

Parameters = dict[str, bool | str | list[str]]

DEPTH_TRANSPORTS = {'raw': 'raw', 'compressed': 'compressedDepth'}


def chosen_parameters(arguments: Mapping[str, str]) -> Parameters:
    """
    Turn the launch arguments that were given into node parameters.

    An empty argument was not given; its parameter stays as the parameter file has it.

    :raises ValueError: naming the argument, what it may be and what it was.
    """
    parameters: Parameters = {
        name: parse_boolean(name, arguments[name])
        for name in ('use_sim_time', 'autostart')
        if arguments[name]
    }
    if arguments['bundle']:
        parameters['bundle'] = str(Path(arguments['bundle']).expanduser().absolute())
    if arguments['vocabulary'].strip():
        parameters['vocabulary'] = parse_vocabulary(arguments['vocabulary'])
    transport = arguments['image_transport']
    if transport:
        if transport not in DEPTH_TRANSPORTS:
            raise ValueError(
                f'image_transport: expected one of {", ".join(DEPTH_TRANSPORTS)}, '
                f'found {transport!r}'
            )
        parameters['image_transport'] = transport
        parameters['depth_transport'] = DEPTH_TRANSPORTS[transport]
    return parameters


def parse_boolean(name: str, text: str) -> bool:
    """
    Read a launch argument that is true or false.

    :raises ValueError: when it is neither.
    """
    if text.lower() not in ('true', 'false', '1', '0'):
        raise ValueError(f'{name}: expected true or false, found {text!r}')
    return text.lower() in ('true', '1')


def parse_vocabulary(text: str) -> list[str]:
    """
    Read labels from a YAML list or a list with commas.

    :raises ValueError: when a label is missing or the list is none.
    """
    try:
        # The base loader leaves every scalar text, so that the label 'on' is no boolean.
        listed = yaml.load(text, yaml.BaseLoader) if '[' in text else text.split(',')  # noqa: S506
    except yaml.YAMLError as error:
        raise ValueError(f'vocabulary: expected a YAML list, found {text!r}') from error
    labels = [label.strip() if isinstance(label, str) else '' for label in listed]
    if not all(labels):
        raise ValueError(f'vocabulary: expected labels between the commas, found {text!r}')
    return labels
