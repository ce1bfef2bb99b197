"""The command line's entry: ``zhipu-async`` and ``python -m zhipu_async``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; without the extra that it needs, say how to install it and exit with 2."""
    try:
        from .cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        sys.stderr.write("zhipu-async: the command line needs two more packages: pip install 'zhipu-async[cli]'\n")
        raise SystemExit(2) from None
    run()


if __name__ == "__main__":
    main()
