"""Support for tests of programs that ask GLM models: a scripted service, and recordings of the real one.

With pytest it comes as fixtures (`glm_simulator`, `glm_client`, `glm_environment`, `glm_recording`); elsewhere the
classes are context managers:

```python
with GLMSimulator() as service:
    service.answers("Hello")
    ...  # ask service.base_url with service.api_key
    service.verify()
```
"""

from zhipu_async.testing.exchange import Exchange, Piece, read_exchanges
from zhipu_async.testing.recording import MODES, Recording
from zhipu_async.testing.script import Script
from zhipu_async.testing.scrubbing import Scrubber
from zhipu_async.testing.simulated import GLMSimulator
from zhipu_async.testing.thread import LoopThread

__all__ = [
    "MODES",
    "Exchange",
    "GLMSimulator",
    "LoopThread",
    "Piece",
    "Recording",
    "Script",
    "Scrubber",
    "read_exchanges",
]
