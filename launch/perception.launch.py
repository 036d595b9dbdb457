# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Label what a camera sees.

Example: ros2 launch edgevl_ros perception.launch.py rgb_topic:=/camera/color/image_raw
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
import yaml

PARAMS_FILE = str(
    Path(get_package_share_directory('edgevl_ros')) / 'config' / 'perception.yaml'
)

# An empty value leaves the parameter as the parameter file has it.
ARGUMENTS = (
    ('bundle', '', 'Folder of the bundle to run; empty for the one in params_file.'),
    ('rgb_topic', '/camera/color/image_raw', 'Colour image topic, without transport suffix.'),
    ('depth_topic', '/camera/aligned_depth_to_color/image_raw',
     'Depth image topic registered to colour, without transport suffix.'),
    ('image_transport', '',
     'raw, or compressed for JPEG or PNG colour and compressedDepth depth; '
     'empty for what params_file says.'),
    ('vocabulary', '',
     'Labels, "kitchen, corridor" or "[kitchen, corridor]"; empty for those in params_file.'),
    ('params_file', PARAMS_FILE, 'Parameter file of the node.'),
    ('namespace', '', 'Namespace of the node.'),
    ('use_sim_time', '', 'Take time from /clock (simulation, bags): true or false.'),
    ('log_level', 'info', 'debug, info, warn, error or fatal.'),
    ('autostart', '', 'Configure and activate at start: true (the default) or false.'),
)
DEPTH_TRANSPORTS = {'raw': 'raw', 'compressed': 'compressedDepth'}


def parse_boolean(name, text):
    """Read a launch argument that is true or false."""
    if text.lower() not in ('true', 'false', '1', '0'):
        raise ValueError(f'{name}: expected true or false, found {text!r}')
    return text.lower() in ('true', '1')


def parse_vocabulary(text):
    """Read labels from a YAML list or a list with commas."""
    try:
        value = yaml.safe_load(text) if text.strip().startswith('[') else text.split(',')
    except yaml.YAMLError as error:
        raise ValueError(f'vocabulary: expected a YAML list, found {text!r}') from error
    labels = [str(label).strip() for label in value]
    if not all(labels):
        raise ValueError(f'vocabulary: expected labels between the commas, found {text!r}')
    return labels


def chosen_parameters(arguments):
    """Turn the launch arguments that were given into node parameters."""
    parameters = {
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


def make_node(context):
    """Make the node action from the arguments of this launch."""
    arguments = {
        name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS
    }
    return [
        Node(
            package='edgevl_ros',
            executable='perception_node',
            name='edgevl_perception',
            namespace=arguments['namespace'],
            output='screen',
            parameters=[arguments['params_file'], chosen_parameters(arguments)],
            remappings=[
                ('image', arguments['rgb_topic']),
                ('depth', arguments['depth_topic']),
            ],
            arguments=['--ros-args', '--log-level', arguments['log_level']],
        )
    ]


def generate_launch_description():
    """Describe the launch: arguments, then one node."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=make_node)])
