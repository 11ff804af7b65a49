"""Plugins: what a federation can be told to do, by name.

For authors of plugins: the descriptors, `hookimpl`, and the checks in `tierwise.plugins.testing`. For
programs: `Plugins`, which finds what is installed and makes it.
"""

from tierwise.plugins.descriptors import AggregatorDescriptor, AnyDescriptor, Kind, PluginDescriptor
from tierwise.plugins.hookspecs import hookimpl
from tierwise.plugins.manager import Plugins
from tierwise.plugins.parts import Parts

__all__ = ["AggregatorDescriptor", "AnyDescriptor", "Kind", "Parts", "PluginDescriptor", "Plugins", "hookimpl"]
