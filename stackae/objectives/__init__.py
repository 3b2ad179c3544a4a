"""What networks are trained for: losses, penalties, and the objectives that are made of them."""
