"""`python -m torchtract`: the command `torchtract`."""

from torchtract.cli import main

if __name__ == "__main__":
    main()
