# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command ``edgevl``: one verb for each stage between a camera and a bundle."""

from __future__ import annotations

from collections.abc import Sequence
import importlib
import sys

from edgevl_ros.core.errors import EdgeVLError

# Verb -> module with ``run(arguments) -> exit status``, and what the verb does. Modules load late:
# 'edgevl record' on a robot needs no torch.
VERBS = {
    'record': ('edgevl_training.record', 'record camera topics into a rosbag2 (on the robot)'),
    'extract': ('edgevl_training.extract', 'bags or image folders -> pairs in Parquet'),
    'teach': ('edgevl_training.teach', 'pairs -> teacher embeddings of their colour images'),
    'curate': ('edgevl_training.curate', 'pairs + embeddings -> confident, labelled, split pairs'),
    'distill': ('edgevl_training.distill', 'curated pairs -> a student of both modalities'),
    'contrast': ('edgevl_training.contrast', 'that student -> the same, trained for INT8'),
    'export': ('edgevl_training.export', 'a trained student -> ONNX graphs, proven equal to it'),
    'evaluate': ('edgevl_training.evaluate', 'models + pairs -> accuracy as on the robot, report'),
    'pack': ('edgevl_training.pack', 'an exported student + words -> the bundle for a robot'),
    'adapt': ('edgevl_training.adapt', 'all of these: bags or images -> the bundle'),
    'engine': ('edgevl_ros.backends.engine_command', 'get ready for TensorRT (on the robot)'),
    'ablate': ('edgevl_training.ablate', "the paper's tables on the user's own pairs"),
}

_ROS_PACKAGES = (
    'ament_index_python', 'diagnostic_msgs', 'rcl_interfaces', 'rclpy', 'rosidl_runtime_py',
    'sensor_msgs', 'std_msgs', 'vision_msgs',
)
_KEPT = 'what was finished is kept, the same command goes on from there'


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; give the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ('-h', '--help'):
        print(_usage())
        return 0 if words else 2
    verb, *rest = words
    if verb not in VERBS:
        print(
            f'edgevl: expected one of the verbs {", ".join(VERBS)}, found {verb!r}',
            file=sys.stderr,
        )
        return 2
    try:
        return importlib.import_module(VERBS[verb][0]).run(rest)
    except EdgeVLError as error:
        print(error, file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(_missing(verb, error), file=sys.stderr)
        return 2
    except OSError as error:
        # A full disk, no permission, a drive that was pulled out: nothing a traceback explains.
        print(f'edgevl {verb}: {error}; {_KEPT}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f'\nedgevl {verb}: interrupted; {_KEPT}', file=sys.stderr)
        return 130


def record_node() -> int:
    """Run the recorder as a node, whose parameters are the options of ``edgevl record``."""
    try:
        from edgevl_training.record import main_node
    except KeyboardInterrupt:
        return 0
    except ModuleNotFoundError as error:
        print(_missing('record', error), file=sys.stderr)
        return 1
    return main_node()


def _usage() -> str:
    verbs = '\n'.join(f'  {verb:<10}{what}' for verb, (_, what) in VERBS.items())
    return (
        'usage: edgevl VERB [options]\n\n'
        'From what a robot has seen to training data, each verb from one folder to the next:\n\n'
        f'{verbs}\n\n'
        "'edgevl VERB --help' lists the options of a verb; --config FILE takes them from a recipe."
    )


def _missing(verb: str, error: ModuleNotFoundError) -> str:
    extra = {'record': 'record', 'engine': 'tensorrt'}.get(verb, 'training')
    if error.name in _ROS_PACKAGES:
        remedy = 'source a ROS 2 installation, or run it in the environment of "make venv"'
    else:
        remedy = f"pip install 'edgevl_ros[{extra}]'"
    return f'edgevl {verb}: expected the Python package {error.name!r}, found none; {remedy}'


if __name__ == '__main__':
    sys.exit(main())
