# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command finds its verb, and whatever goes wrong is one message and an exit status."""
from __future__ import annotations

import errno
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time

from edgevl_ros.core.errors import EdgeVLError
from edgevl_training import cli
import pytest


@pytest.fixture
def verb(tmp_path, monkeypatch):
    """Give a function that makes a verb 'brew' of the body of its ``run(arguments)``."""
    def make(body, before='', name='brew_verb'):
        (tmp_path / f'{name}.py').write_text(f'{before}\ndef run(arguments):\n    {body}\n')
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setitem(cli.VERBS, 'brew', (name, 'brew coffee'))
    return make


def test_no_verb_and_help_list_the_verbs(capsys):
    assert cli.main([]) == 2
    assert cli.main(['--help']) == 0
    for text in capsys.readouterr().out.split('usage: ')[1:]:
        for name, (_, what) in cli.VERBS.items():
            assert name in text
            assert what in text
        assert '--config FILE' in text


def test_an_unknown_verb_lists_those_that_exist(capsys):
    assert cli.main(['bru']) == 2
    message = capsys.readouterr().err
    assert message.count('\n') == 1
    assert "found 'bru'" in message
    assert all(name in message for name in cli.VERBS)


def test_the_verb_gets_its_arguments_and_gives_the_status(verb):
    verb('return len(arguments)')
    assert cli.main(['brew', '--cups', '3']) == 2
    assert cli.main(['brew', '--help']) == 1
    assert cli.main(['brew']) == 0


def test_arguments_come_from_the_command_line(verb, monkeypatch):
    verb('return len(arguments)')
    monkeypatch.setattr(sys, 'argv', ['edgevl', 'brew', 'a', 'b', 'c'])
    assert cli.main() == 3


def test_a_known_error_is_its_message(verb, capsys):
    verb('raise EdgeVLError("no beans; buy some")',
         'from edgevl_ros.core.errors import EdgeVLError')
    assert cli.main(['brew']) == 2
    assert capsys.readouterr().err == 'no beans; buy some\n'


def test_a_full_disk_is_told_with_what_is_kept(verb, capsys):
    verb(f'raise OSError({errno.ENOSPC}, "No space left on device", "/data/shard")')
    assert cli.main(['brew']) == 2
    message = capsys.readouterr().err
    assert "No space left on device: '/data/shard'" in message
    assert 'what was finished is kept' in message


@pytest.mark.parametrize(('package', 'remedy'), [
    ('rclpy', 'source a ROS 2 installation'),
    ('no_such_library', r"pip install 'edgevl_ros\[training\]'"),
])
def test_a_missing_package_is_named_with_its_remedy(verb, capsys, monkeypatch, package, remedy):
    monkeypatch.setitem(sys.modules, package, None)
    verb('return 0', f'import {package}')
    assert cli.main(['brew']) == 2
    message = capsys.readouterr().err
    assert f"edgevl brew: expected the Python package '{package}', found none" in message
    assert re.search(remedy, message), message


def test_the_recorder_asks_for_the_small_extra(verb, capsys, monkeypatch):
    verb('return 0', 'import no_such_library')
    monkeypatch.setitem(cli.VERBS, 'record', cli.VERBS['brew'])
    assert cli.main(['record']) == 2
    assert "pip install 'edgevl_ros[record]'" in capsys.readouterr().err


def test_a_mistake_of_ours_keeps_its_traceback(verb):
    verb('return 1 / 0')
    with pytest.raises(ZeroDivisionError):
        cli.main(['brew'])


def test_every_error_of_training_is_told_as_a_message():
    from edgevl_training import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) > 4
    assert all(issubclass(kind, EdgeVLError) for kind in kinds)


def test_interrupted_work_ends_with_130_and_says_how_to_go_on(tmp_path):
    (tmp_path / 'brew_verb.py').write_text(
        'import time\n\ndef run(arguments):\n'
        '    print("brewing", flush=True)\n    time.sleep(60)\n')
    program = (
        'import sys; from edgevl_training import cli; '
        'cli.VERBS["brew"] = ("brew_verb", ""); sys.exit(cli.main(["brew"]))')
    root = Path(cli.__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, '-c', program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': f'{tmp_path}:{root}'})
    assert process.stdout.readline() == 'brewing\n'
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=20)
    assert process.returncode == 130
    assert 'edgevl brew: interrupted; what was finished is kept' in message
    assert 'Traceback' not in message


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, '-m', 'edgevl_training.cli', 'bru'], capture_output=True, text=True,
        cwd=Path(cli.__file__).parents[1])
    assert done.returncode == 2
    assert done.stderr.startswith('edgevl: expected one of the verbs record')


@pytest.mark.parametrize('name', ['record', 'extract', 'teach', 'curate'])
def test_every_verb_has_a_help_of_its_own(name, capsys):
    pytest.importorskip('pydantic', reason='pydantic is not installed')
    pytest.importorskip('pyarrow', reason='pyarrow is not installed')
    with pytest.raises(SystemExit) as end:
        cli.main([name, '--help'])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f'usage: edgevl {name}')
    assert '--config' in text
    assert '--out' in text
