"""General ability, as lighteval asks for it."""
