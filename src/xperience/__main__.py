"""`python -m xperience` is the `xperience` command."""

from xperience.cli.main import main

if __name__ == "__main__":
    main()
