"""``python -m rbmbook`` is the command ``rbmlib``."""

from rbmbook.cli import main

if __name__ == "__main__":
    main()
