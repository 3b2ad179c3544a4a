"""Files of text: how they are written, and what their cells say."""
