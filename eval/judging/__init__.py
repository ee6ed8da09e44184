"""Models as judges, and whether they may be."""
