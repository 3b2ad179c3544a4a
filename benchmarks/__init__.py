"""Measurements. Nothing in the library or the tests depends on them."""
