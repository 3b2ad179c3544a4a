"""`stackae export`: a part of a trained run as a file that opens without stackae."""
