"""Numbers of a summary: read, found in its sources in any spelling, or followed from what stands together there."""
