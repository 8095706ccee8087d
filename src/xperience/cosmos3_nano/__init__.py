"""Cosmos3-Nano: actions, task records, compatibility, evaluation; post-training only behind its gates."""
