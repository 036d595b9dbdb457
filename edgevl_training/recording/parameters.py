# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The recipe as parameters of a node and as arguments of a launch file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
import reprlib
from typing import Any, get_origin

from edgevl_training.errors import RecipeError
from edgevl_training.recording.recipe import RecordRecipe
from pydantic import ValidationError
from pydantic.fields import FieldInfo
import yaml

Value = bool | int | float | str | list[str]

_shorten = reprlib.Repr()
_shorten.maxstring = _shorten.maxother = 200


def parameter_defaults() -> dict[str, Value]:
    """
    Give the default of every parameter.

    Parameters have no empty lists (rclpy takes them for bytes) and cannot be missing: empty text
    stands for both.
    """
    return {name: _as_parameter(field) for name, field in RecordRecipe.model_fields.items()}


def descriptions() -> dict[str, str]:
    """Give the description of every parameter."""
    return {name: field.description or '' for name, field in RecordRecipe.model_fields.items()}


def recipe_from(parameters: Mapping[str, Any]) -> RecordRecipe:
    """
    Make the recipe that parameters ask for, of whatever type they are.

    :raises RecipeError: listing every parameter that does not fit.
    """
    values = {
        name: value for name, value in parameters.items()
        if value is not None and (name != 'out' or value != '')
    }
    try:
        return RecordRecipe.model_validate(values)
    except ValidationError as error:
        problems = [_explain(item) for item in error.errors()]
        raise RecipeError('\n  '.join(['parameters to mend:', *problems])) from error


def refuse_parameters(names: Iterable[str]) -> None:
    """
    Refuse parameters of the node where options of the verb decide.

    :raises RecipeError: naming the option for each.
    """
    options = [f'--{name.replace("_", "-")}' for name in names]
    if options:
        raise RecipeError(
            'edgevl record: expected options, found parameters after --ros-args; '
            f'give them as {", ".join(options)}'
        )


def launch_arguments() -> list[tuple[str, str, str]]:
    """Give name, default and description of the launch arguments that are parameters."""
    arguments = []
    for name, field in RecordRecipe.model_fields.items():
        default = '' if field.is_required() else field.default
        shown = f' Default: {default}.' if default not in ('', ()) else ''
        arguments.append((name, '', f'{field.description}{shown}'))
    return arguments


def chosen_parameters(arguments: Mapping[str, str]) -> dict[str, Value]:
    """
    Turn the launch arguments that were given, which are text, into parameters.

    An empty argument was not given; its parameter keeps its default.

    :raises ValueError: naming the argument, what it may be and what it was.
    """
    return {
        name: _parse(name, field, arguments[name])
        for name, field in RecordRecipe.model_fields.items()
        if arguments[name]
    }


def _explain(item: Any) -> str:
    """Say in one line what pydantic found."""
    message = item['msg'].removeprefix('Value error, ')
    if not item['loc']:
        return message
    name = item['loc'][0]
    if item['type'] == 'missing':
        return f'{name}: is required; give it as -p {name}:=..., to ros2 launch as {name}:=...'
    return f'{name}: {message[:1].lower()}{message[1:]}, found {_shorten.repr(item["input"])}'


def _as_parameter(field: FieldInfo) -> Value:
    kind = field.annotation
    if get_origin(kind) is tuple:
        return [*field.default] or ['']
    if kind in (int, float):
        return kind(field.default)
    return '' if field.is_required() else str(field.default)


def _parse(name: str, field: FieldInfo, text: str) -> Value:
    kind = field.annotation
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError as error:
            raise ValueError(f'{name}: expected a number, found {text!r}') from error
    if kind is Path:
        return str(Path(text).expanduser().absolute())
    if get_origin(kind) is not tuple:
        return text
    try:
        listed = yaml.safe_load(text) if '[' in text else text.split(',')
    except yaml.YAMLError as error:
        raise ValueError(f'{name}: expected a YAML list, found {text!r}') from error
    if not isinstance(listed, list) or not all(
        isinstance(item, str) and item.strip() for item in listed
    ):
        raise ValueError(f'{name}: expected names between the commas, found {text!r}')
    # Launch has no empty lists.
    return [item.strip() for item in listed] or ['']
