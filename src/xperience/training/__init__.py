"""What every training run shares, whatever the model: processes, launcher, loop, checkpoints, journal, label gate."""
