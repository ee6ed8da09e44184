"""Recipes in the names of TRL; models and rows."""
