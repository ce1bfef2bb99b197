"""Measurements of the package, each run as a module: ``python -m benchmarks.fan_out``. README.md lists them."""
