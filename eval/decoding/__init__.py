"""What a model's choice of tokens is held to while it writes: loops are ended, and what the sources do not give is not said."""
