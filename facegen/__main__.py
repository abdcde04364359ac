"""``python -m facegen``: the command line, in the form that torchrun can start."""

from facegen.cli import main

if __name__ == "__main__":
    main(prog_name="facegen")
