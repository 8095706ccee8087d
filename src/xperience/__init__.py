"""Move, prepare and train on large gated robot and egocentric data sets."""

from importlib.metadata import version

__version__ = version("xperience")
