"""Pictures as rows: one file, or a folder of them."""
