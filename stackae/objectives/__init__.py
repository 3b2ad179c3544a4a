"""Training objectives, and the losses and penalties that they sum."""
