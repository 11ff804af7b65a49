"""What frames are for: one kind for each kind of topic, so that none can be repeated on another."""

from typing import Final

CTL: Final = "ctl"
"""A device's, to the coordinator."""
DOWN: Final = "down"
"""The coordinator's, to one device."""
MANIFEST: Final = "manifest"
"""The coordinator's, to a group."""
PRESENCE: Final = "presence"
"""Anybody's."""
