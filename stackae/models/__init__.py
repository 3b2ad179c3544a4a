"""The trained models: the stack of autoencoders, the heads on its encoders, and their files."""
