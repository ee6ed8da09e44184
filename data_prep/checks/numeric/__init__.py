"""Numbers of a summary: read, and found in its sources in any spelling."""
