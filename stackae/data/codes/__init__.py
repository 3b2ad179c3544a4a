"""Codes that the next layer reads as its rows: made again whenever they are read, or kept in a file."""
