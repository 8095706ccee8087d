"""Qwen3-Omni: what it is asked and taught, how it is trained, evaluated and merged."""
