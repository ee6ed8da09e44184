"""Following a run: wandb, tokens per second, sample summaries, pushes of checkpoints."""
