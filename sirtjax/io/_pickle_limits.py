from __future__ import annotations

import pickletools

# The most containers within one another; deeper ones could exhaust the interpreter's stack.
MAX_NESTING = 500
# Objects that wait to be put into a container. Pickle writes the items of lists and dictionaries in batches of 1000.
MAX_WAITING = 250_000
# A checkpoint with its whole history has about a million operations.
MAX_OPERATIONS = 8_000_000
# Placeholder for a mark on the stack of depths.
MARK = -1
# Operations that put objects into a container that is there already.
FILLING = frozenset({"SETITEM", "SETITEMS", "APPEND", "APPENDS", "ADDITEMS", "BUILD"})


def check_limits(structure: bytes) -> None:
    """Refuses a pickle that makes the unpickler allocate or recurse without bounds.

    Examples are far memo slots, deeply nested containers and an endless number of objects. Each limit is checked while
    the operations are read, so refusing a file takes no longer than reading an allowed one. The stack of the pickle is
    simulated with the depth of each object instead of the object.

    Raises:
      ValueError: a limit is exceeded.
    """
    stack: list[int] = []
    open_marks = 0
    memo: dict[int, int] = {}
    for count, (opcode, argument, _) in enumerate(pickletools.genops(structure)):
        name = opcode.name
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            slot = len(memo) if argument is None else int(argument)
            if slot > max(count, 256):
                raise ValueError(f"memo slot {slot} of an object that cannot exist")
            memo[slot] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(str(argument))])
        elif name == "MARK":
            stack.append(MARK)
            open_marks += 1
        else:
            _play(opcode, stack)
            open_marks -= pickletools.markobject in opcode.stack_before
        # A container is marked where its items begin: open marks are containers within one another, too.
        if open_marks > MAX_NESTING or (stack and stack[-1] > MAX_NESTING):
            raise ValueError(f"more than {MAX_NESTING} containers within one another")
        if len(stack) > MAX_WAITING:
            raise ValueError(f"more than {MAX_WAITING} objects that are in no container yet")
        if count > MAX_OPERATIONS:
            raise ValueError(f"more than {MAX_OPERATIONS} operations")


def _play(opcode: pickletools.OpcodeInfo, stack: list[int]) -> None:
    taken: list[int] = []
    if pickletools.markobject in opcode.stack_before:
        while stack[-1] != MARK:
            taken.append(stack.pop())
        stack.pop()
        below = opcode.stack_before.index(pickletools.markobject)
    else:
        below = len(opcode.stack_before)
    held = [stack.pop() for _ in range(below)]
    if opcode.name in FILLING:  # the container that was there, now with these in it
        container, items = (held[-1], [*held[:-1], *taken])
        stack.append(max([container, *(1 + depth for depth in items)]))
    elif opcode.name == "DUP":
        stack += [held[0], held[0]]
    elif opcode.stack_after:
        stack.append(1 + max([*held, *taken], default=-1))
