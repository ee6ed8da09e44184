"""Longer inputs by YaRN; GGUF files."""
