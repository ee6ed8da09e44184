"""A pre-trained model that a Python package carries."""
