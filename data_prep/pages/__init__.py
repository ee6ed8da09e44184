"""Linked pages: which are worth reading, fetched politely and safely, their text."""
