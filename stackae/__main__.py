"""`python -m stackae`: the command line, as `torchrun -m stackae` starts it."""

from importlib import import_module

if __name__ == "__main__":
    import_module("stackae.cli.start").main()
