"""Acceptance gates over the evidence of all stages, and the report."""
