"""What `stackae data check` finds in data before anything is trained on them."""
