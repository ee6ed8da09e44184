"""A published model: files, card, provenance, scan, push."""
