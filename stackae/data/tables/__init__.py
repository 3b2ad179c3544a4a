"""Tables as people have them: columns of numbers, texts and times, made rows of numbers, and back."""
