"""Metrics of one summary, their means, and where they are kept."""
