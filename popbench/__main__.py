"""`python -m popbench` is `popbench`."""

from popbench.cli import main

if __name__ == "__main__":
    main()
