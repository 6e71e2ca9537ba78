from __future__ import annotations

import pickletools

# The most containers within one another; deeper ones could exhaust the interpreter's stack.
MAX_NESTING = 500
# What stands for a mark on the stack of depths.
MARK = -1
# Operations that put objects into a container that is there already.
FILLING = frozenset({"SETITEM", "SETITEMS", "APPEND", "APPENDS", "ADDITEMS", "BUILD"})


def check_limits(structure: bytes) -> None:
    """Refuse what makes the unpickler allocate or recurse without bounds: far memo slots, containers nested deep.

    Plays the pickle's stack with the depth of each object in place of the object.
    """
    stack: list[int] = []
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
        else:
            _play(opcode, stack)
        if stack and stack[-1] > MAX_NESTING:
            raise ValueError(f"more than {MAX_NESTING} containers within one another")


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
