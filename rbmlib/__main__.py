"""``python -m rbmlib`` is the command ``rbmlib``."""

from rbmlib.cli import main

if __name__ == "__main__":
    main()
