"""`python serve_standin.py CONFIG SEGMENTER`: the service with a segmenter of standin.py, until it is terminated."""

import signal
import sys
import threading

import standin

from sirtjax.service import read_config, serve

if __name__ == "__main__":
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    segmenter = getattr(standin, sys.argv[2]) if len(sys.argv) > 2 else None
    serve(
        read_config(sys.argv[1]),
        segmenter=segmenter,
        stop=ended,
        on_ready=lambda port: print(f"port {port}", flush=True),
    )
