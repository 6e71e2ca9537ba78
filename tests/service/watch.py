"""`python watch.py PORT`: asks for C-ECHO ten times a second until its input ends; prints what each took, as JSON.

A process of its own, so that what an attacker's Python does is not measured with it.
"""

import json
import select
import sys
import time

import raw


def ask(port):
    """Seconds until the answer to a C-ECHO in an association of its own, or what went wrong."""
    began = time.monotonic()
    try:
        with raw.associated(port, source="127.0.0.9", calling="WATCH") as c:
            c.sendall(raw.message(raw.command(raw.C_ECHO, sop_class=raw.ECHO, data=False), number=3))
            if raw.status(raw.receive(c)) != 0:
                return "no answer"
            took_s = time.monotonic() - began
            c.sendall(raw.pdu(raw.RELEASE, bytes(4)))
            raw.receive(c)
            return took_s
    except (OSError, AssertionError) as error:
        return f"{type(error).__name__} after {time.monotonic() - began:.2f} s"


if __name__ == "__main__":
    answers = []
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        answers.append(ask(int(sys.argv[1])))
    print(json.dumps(answers))
