# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The recipe of a verb: declared once, read from a YAML file and the command line, checked whole.

A recipe is a frozen pydantic model. Every field is an option (``max_skew`` is ``--max-skew``) and
a key of the verb's section in a recipe file, so that one file can hold all verbs of an adaptation:

    extract:
      rate: 2.0
    curate:
      tau: 0.25

Options win over the file, the file over the defaults. All problems are reported at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
import difflib
from enum import Enum
import inspect
from pathlib import Path
import reprlib
import types
from typing import Annotated, Any, cast, get_args, get_origin, Literal, TypeVar, Union

from edgevl_training.errors import RecipeError
from pydantic import BaseModel, ConfigDict, field_validator, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, PydanticUndefined
import yaml

R = TypeVar('R', bound='Recipe')

_LARGEST_FILE_BYTES = 1_000_000
# What an option is given that stands without its value; no word of a command line holds it.
_NO_VALUE = '\0'
# Errors of this type speak of several options, and are told without the name of one.
_SEVERAL_OPTIONS = 'several_options'
# What pydantic finds, in words for somebody who writes no Python; braces take its particulars.
_WORDS = {
    'bool_parsing': 'expected true or false',
    'bool_type': 'expected true or false',
    'enum': 'expected {expected}',
    'finite_number': 'expected a finite number',
    'float_parsing': 'expected a number',
    'float_type': 'expected a number',
    'greater_than': 'expected more than {gt:g}',
    'greater_than_equal': 'expected at least {ge:g}',
    'int_from_float': 'expected a whole number',
    'int_parsing': 'expected a whole number',
    'int_parsing_size': 'expected a smaller number',
    'int_type': 'expected a whole number',
    'less_than': 'expected less than {lt:g}',
    'less_than_equal': 'expected at most {le:g}',
    'list_type': 'expected a list',
    'literal_error': 'expected {expected}',
    'path_type': 'expected a path',
    'string_type': 'expected text',
    'too_short': 'expected at least {min_length} value(s)',
    'tuple_type': 'expected a list',
}

_shorten = reprlib.Repr()
_shorten.maxstring = _shorten.maxother = 200


class Recipe(BaseModel):
    """
    Base of all recipes.

    Subclasses declare fields with a type, a default and ``Field(description=...)``; the docstring
    of the subclass is the verb's help.
    """

    model_config = ConfigDict(extra='forbid', frozen=True, validate_default=True)

    @field_validator('*')
    @classmethod
    def _expand_home(cls, value: Any) -> Any:
        """Read ``~`` in a recipe file as the shell reads it on the command line."""
        if isinstance(value, tuple):
            return tuple(cls._expand_home(item) for item in value)
        return value.expanduser() if isinstance(value, Path) else value


def several_options(message: str) -> PydanticCustomError:
    """Give an error to raise in a validator when no single option is to blame."""
    return PydanticCustomError(_SEVERAL_OPTIONS, '{message}', {'message': message})


def parse(recipe: type[R], verb: str, arguments: Sequence[str], sections: Sequence[str]) -> R:
    """
    Read a recipe from ``--config`` and the options; ``--help`` prints and exits.

    :param sections: the verbs, which a recipe file may have sections for.
    :raises RecipeError: listing everything that is wrong, in the file and in the options.
    """
    parser = _parser(recipe, verb)
    problems: list[str] = []
    options, unknown = parser.parse_known_args(list(arguments))
    given = {name: value for name, value in vars(options).items() if value is not None}
    problems += _unknown_options(unknown, recipe)
    bare = [name for name, value in given.items() if value == _NO_VALUE]
    problems += [f'--{name.replace("_", "-")}: expected a value, found none' for name in bare]
    given = {name: value for name, value in given.items() if name not in bare}
    config = given.pop('config', None)
    values: dict[str, Any] = {}
    if config is not None:
        values, found = _read_file(Path(config), verb, sections)
        problems += found
        values = {name: _listed(recipe, name, value) for name, value in values.items()}
    origins = dict.fromkeys(values, f'{config}: {verb}.')
    values.update(given)
    origins.update(dict.fromkeys(given, '--'))
    try:
        result = recipe.model_validate(values)
    except ValidationError as error:
        problems += dict.fromkeys(
            _explain(item, origins, recipe) for item in error.errors()
            if item['loc'][:1] not in [(name,) for name in bare]
        )
    if problems:
        listed = '\n'.join(f'  {problem}' for problem in problems)
        raise RecipeError(
            f'edgevl {verb}: {len(problems)} thing{"s" * (len(problems) > 1)} to mend '
            f"('edgevl {verb} --help' lists every option):\n{listed}"
        )
    return result


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Shows a value as required although the parser goes on where it is missing."""

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        if action.const == _NO_VALUE:
            return str(action.metavar)
        return super()._format_args(action, default_metavar)


def _parser(recipe: type[Recipe], verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f'edgevl {verb}', description=inspect.getdoc(recipe), allow_abbrev=False,
        formatter_class=_HelpFormatter,
    )
    parser.add_argument(
        '--config', metavar='FILE', nargs='?', const=_NO_VALUE,
        help=f"recipe file (YAML); the section '{verb}' holds these options, written with "
        'underscores',
    )
    for name, field in recipe.model_fields.items():
        _add_option(parser, name, field)
    return parser


def _add_option(parser: argparse.ArgumentParser, name: str, field: FieldInfo) -> None:
    kind = _plain(field.annotation)
    more: dict[str, Any] = {}
    if kind is bool:
        # A bare --flag is true, and --flag false takes it back from a recipe file.
        more = {'nargs': '?', 'const': 'true', 'metavar': 'true|false'}
    elif _is_list(field):
        more = {'nargs': '*', 'metavar': _metavar(get_args(kind)[0])}
    else:
        # argparse would end at the first option without its value, before the other problems.
        more = {'nargs': '?', 'const': _NO_VALUE, 'metavar': _metavar(kind)}
    parser.add_argument(f'--{name.replace("_", "-")}', dest=name, help=_help(field), **more)


def _help(field: FieldInfo) -> str:
    text = field.description or ''
    if field.is_required():
        text += ' (required)'
    elif field.default not in (None, (), PydanticUndefined):
        default = field.default
        if isinstance(default, tuple):
            default = ' '.join(map(str, default))
        shown = str(default).lower() if isinstance(default, bool) else default
        text += f' (default: {shown.value if isinstance(shown, Enum) else shown})'
    return text.replace('%', '%%')


def _is_list(field: FieldInfo) -> bool:
    return get_origin(_plain(field.annotation)) in (tuple, list)


def _listed(recipe: type[Recipe], name: str, value: Any) -> Any:
    """Read one value in a file as a list of one, where a list is wanted."""
    field = recipe.model_fields.get(name)
    if field is None or value is None or isinstance(value, list) or not _is_list(field):
        return value
    return [value]


def _plain(annotation: Any) -> Any:
    """Give the type itself of ``X | None`` and ``Annotated[X, ...]``."""
    if get_origin(annotation) in (Union, types.UnionType):
        return _plain(next(kind for kind in get_args(annotation) if kind is not types.NoneType))
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[0]
    return annotation


def _metavar(annotation: Any) -> str:
    kind = _plain(annotation)
    if get_origin(kind) is Literal:
        return '|'.join(map(str, get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return '|'.join(str(member.value) for member in kind)
    return {int: 'N', float: 'X', Path: 'PATH'}.get(kind, 'TEXT')


class _Loader(yaml.SafeLoader):
    """The safe loader, which otherwise takes the last of two values of a key and says nothing."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in getattr(node, 'value', ()):
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    line = key.start_mark.line + 1
                    raise yaml.YAMLError(f'line {line}: {key.value!r} is given a second time')
                seen.add((key.tag, key.value))
        return cast('dict[Any, Any]', super().construct_mapping(node, deep))


def _read_file(
    path: Path, verb: str, sections: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Give the verb's section of a recipe file, and what is wrong with the file."""
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            return {}, [f'{path}: expected a recipe of at most 1 MB']
        content = yaml.load(path.read_text(encoding='utf-8'), _Loader)  # noqa: S506 (a safe one)
    except OSError as error:
        return {}, [f'{path}: cannot be read: {error.strerror}']
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        return {}, [f'{path}: expected YAML: {" ".join(str(error).split())}']
    if not isinstance(content, Mapping):
        return {}, [f'{path}: expected sections such as "{verb}:", found {_named(content)}']
    problems = [
        f'{path}: {name!r}: expected one of the sections {", ".join(sections)}'
        for name in content if name not in sections
    ]
    section = content.get(verb)
    if section is None:
        return {}, problems
    if not isinstance(section, Mapping):
        return {}, [*problems, f'{path}: {verb}: expected options, found {_named(section)}']
    return {str(name): value for name, value in section.items()}, problems


def _unknown_options(words: Sequence[str], recipe: type[Recipe]) -> list[str]:
    """Name what the recipe does not know, each option together with the words after it."""
    options = [f'--{name.replace("_", "-")}' for name in ('config', *recipe.model_fields)]
    groups: list[list[str]] = []
    for word in words:
        if groups and not word.startswith('--'):
            groups[-1].append(word)
        else:
            groups.append([word])
    return [
        f'{" ".join(group)}: no such option{_hint(group[0].split("=")[0], options)}'
        for group in groups
    ]


def _hint(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f'; did you mean {near[0]}?' if near else ''


def _explain(error: Any, origins: Mapping[str, str], recipe: type[Recipe]) -> str:
    """Say in one line what pydantic found."""
    if not error['loc'] or error['type'] == _SEVERAL_OPTIONS:
        return error['msg'].removeprefix('Value error, ')
    name = str(error['loc'][0])
    option = name.replace('_', '-')
    if error['type'] == 'missing' and len(error['loc']) == 1:
        return f'--{option}: is required'
    # What neither the file nor an option gave is best mended by giving the option.
    origin = origins.get(name, '--')
    where = f'--{option}' if origin == '--' else f'{origin}{name}'
    if error['type'] == 'extra_forbidden':
        return f'{where}: no such option{_hint(name, list(recipe.model_fields))}'
    if error['type'] in ('missing', 'too_long'):
        kinds = get_args(_plain(recipe.model_fields[name].annotation))
        wanted = error['ctx']['max_length'] if Ellipsis in kinds else len(kinds)
        return f'{where}: expected {wanted} values, found {len(error["input"])}'
    found = 'none' if error['input'] in (None, ()) else _shorten.repr(error['input'])
    return f'{where}: {_said(error)}, found {found}'


def _said(error: Any) -> str:
    if error['type'] in _WORDS:
        return _WORDS[error['type']].format(**error.get('ctx', {}))
    message = error['msg'].removeprefix('Value error, ')
    return f'{message[:1].lower()}{message[1:]}'


def _named(value: Any) -> str:
    return 'nothing' if value is None else type(value).__name__
