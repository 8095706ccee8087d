"""From staged files to training data: what is there, what is usable, which episode is in which split, what is in it."""
