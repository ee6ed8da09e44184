"""Checkers that tell whether a source supports a statement."""
