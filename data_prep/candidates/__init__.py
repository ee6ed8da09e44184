"""Summaries to train on, and what makes one fit: from a teacher, extracted, corrupted on purpose."""
