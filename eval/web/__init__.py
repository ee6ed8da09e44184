"""The web page of `python -m eval.app`: what visitors may ask for, the work, and how its result is drawn."""
