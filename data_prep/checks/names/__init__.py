"""Names of models, data sets, people and organisations in a summary, and whether its sources have them."""
