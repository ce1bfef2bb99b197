"""``python -m tests.fuzz TARGET [-max_total_time=60 ...] [FOLDER | FILE]``: search for what breaks a target.

Needs ``pip install -e .[fuzz]``. What is new to the coverage is written into FOLDER (a new one unless it is given), and
an input that breaks the target too, as ``crash-...``; a FILE is tried and nothing else. The other arguments are
libFuzzer's: ``-runs=100000``, ``-minimize_crash=1``, ``-help=1``.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import atheris

from .mutation import CORPUS, TOKENS

with atheris.instrument_imports(include=["zhipu_async"]):
    from .targets import TARGETS


def _dictionary(folder: Path) -> Path:
    path = folder / "tokens.dict"
    quoted = ("".join(f"\\x{byte:02x}" for byte in token) for token in TOKENS if token)
    path.write_text("".join(f'"{token}"\n' for token in quoted))
    return path


def main(arguments: list[str]) -> None:
    """Run libFuzzer, which ends the process."""
    if not arguments or arguments[0] not in TARGETS:
        sys.exit(f"{__doc__}\nTargets: {', '.join(TARGETS)}")
    name, *rest = arguments
    flags = [argument for argument in rest if argument.startswith("-")]
    paths = [argument for argument in rest if not argument.startswith("-")]
    if not any(Path(path).is_file() for path in paths):
        finds = Path(paths[0] if paths else tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
        finds.mkdir(parents=True, exist_ok=True)
        print(f"{name}: {TARGETS[name].__doc__}\nfinds go to {finds}", flush=True)
        dictionary = _dictionary(Path(tempfile.mkdtemp(prefix="fuzz-tokens-")))
        paths = [str(finds), str(CORPUS / name)]
        flags = [f"-artifact_prefix={finds}/", f"-dict={dictionary}", "-rss_limit_mb=2048", "-timeout=10", *flags]
    logging.disable(logging.CRITICAL)
    atheris.Setup([sys.argv[0], *flags, *paths], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
