"""From a recipe to a trainer, and the run itself."""
