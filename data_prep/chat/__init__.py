"""Chat models: asking one behind an endpoint, each answer kept; thoughts and loops in what one says."""
