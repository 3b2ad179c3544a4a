"""Analyses of a trained stack on data: anomaly scores, and the error as a function of the code's width."""
