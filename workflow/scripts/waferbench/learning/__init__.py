"""What every training shares: devices, checkpoints, resumable loops, backbones and their weights."""
