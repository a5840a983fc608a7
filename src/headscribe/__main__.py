"""`python -m headscribe` is the command line."""

from headscribe.cli.main import main

if __name__ == "__main__":
    main()
