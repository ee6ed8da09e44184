"""What changes how summaries are decoded."""
