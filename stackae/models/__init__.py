"""What training makes: the stack of encoders, the heads upon it, and their files."""
