"""What a trained stack is asked about data: anomaly scores, and how wide a code should be."""
