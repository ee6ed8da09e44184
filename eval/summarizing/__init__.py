"""One card in, one summary out."""
