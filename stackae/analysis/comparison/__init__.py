"""Compare pretraining with what else could learn from the same labels: contenders, their fits, intervals, verdicts."""
