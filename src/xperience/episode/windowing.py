"""The plan's windows: length and step in frames, and the share of their frames that has to agree on a label."""

WINDOW_FRAMES = 20
WINDOW_STRIDE = 20
LEAST_SHARE = 0.6
