"""Which models are related: stated parents, names, near-duplicate texts."""
