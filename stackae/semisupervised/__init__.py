"""Fine-tuning that learns from rows without labels too."""
