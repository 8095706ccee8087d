"""Evaluation of the four tasks: predictions line by line, each number beside those of trivial predictions."""
