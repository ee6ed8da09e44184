"""Going on where a run stopped: checkpoints, signals, full disks, losses that are no number."""
