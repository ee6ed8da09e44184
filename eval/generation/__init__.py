"""Summaries by any system: back-ends, requests, the store of what is made."""
