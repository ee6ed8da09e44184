"""An adapter into its base, and the proof that they say the same."""
