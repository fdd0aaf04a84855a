"""`python -m popbench` is `popbench`."""

from popbench.cli import console

if __name__ == "__main__":
    console()
