"""Parts of trained models as files that open without stackae: graphs, their formats, and how they are verified."""
