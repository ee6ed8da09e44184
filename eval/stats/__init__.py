"""Intervals that resample families, paired differences, and what may be said of them."""
