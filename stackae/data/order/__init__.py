"""The order of rows in time, their groups, windows of them, and which are held out."""
