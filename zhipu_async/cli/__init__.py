"""The command line, an extra: ``pip install 'zhipu-async[cli]'``."""
