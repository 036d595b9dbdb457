# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Record what a camera sees, for 'edgevl extract'.

Example: ros2 launch edgevl_ros record.launch.py out:=~/bags mode:=change
"""

from edgevl_training.recording.parameters import chosen_parameters, launch_arguments
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

# An empty value leaves the parameter at its default.
ARGUMENTS = (
    *launch_arguments(),
    ('namespace', '', 'Namespace of the node.'),
    ('log_level', 'info', 'debug, info, warn, error or fatal.'),
)


def make_node(context):
    """Make the node action from the arguments of this launch."""
    arguments = {
        name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS
    }
    # Text is text, also where YAML would see a number: prefix:=2026
    chosen = {
        name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
        for name, value in chosen_parameters(arguments).items()
    }
    return [
        Node(
            package='edgevl_ros',
            executable='record_node',
            name='edgevl_record',
            namespace=arguments['namespace'],
            output='screen',
            parameters=[chosen] if chosen else [],
            # Until the bag is complete; by default it would be killed sooner.
            sigterm_timeout='30',
            sigkill_timeout='30',
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
