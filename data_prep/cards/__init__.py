"""A README read as a model card: front matter, prose, links, language."""
