"""A stage program that ends well and leaves nothing."""

from sftjobs.program import Program, main


def run(program: Program) -> None:
    program.progress("nothing", 1, 1)


if __name__ == "__main__":
    main(run)
