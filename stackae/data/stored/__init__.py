"""Rows that stay in their file: arrays that are read when they are asked for, and rows made of them."""
