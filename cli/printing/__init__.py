"""What several commands print: plans and results of trainings, and tables of metrics."""
