"""A process's lock of its GPU: a CUDA graph is captured, or another thread has the GPU decode; never both at a time.

CUDA forbids any thread to wait for the whole device while a stream of it is captured, and the capture fails. What a
decoder's library waits for is its own affair, so it is kept off for the seconds that an engine takes to be prepared.
"""

import threading

CAPTURE_LOCK = threading.Lock()
