"""What fine-tuning puts upon a stack."""
