"""`python -m flaxmark` is the flaxmark command."""

from flaxmark.cli.main import main

if __name__ == "__main__":
    main()
