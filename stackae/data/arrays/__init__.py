"""Files that hold arrays by name: their formats, and how the arrays become rows and labels."""
