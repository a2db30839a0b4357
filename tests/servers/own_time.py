"""Runs a program that asks the kernel for the time of day, and not its C library, with a clock of its own.

    python -m tests.servers.own_time CLOCK PROGRAM ARGUMENT...

The file CLOCK holds by how many seconds its time of day differs from the machine's. Programs in Go read the
clock from a page that the kernel maps into each process (vDSO). Here they do not find it: when the program
has just been loaded, and has not run yet, the entry of the auxiliary vector that points to the page is
blotted out. So they make the system call, and a filter passes that on to this process, which answers it.
Only CLOCK_REALTIME is touched; how long the program waits is the machine's. It ends with this process.

What is needed is in every kernel since 5.0: seccomp's user notifications, for a child of the same user.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

CALLS: Final = {"x86_64": (228, 317), "aarch64": (113, 277)}
"""By machine: the numbers of clock_gettime and seccomp (asm/unistd.h)."""
_PTRACE_TRACEME, _PTRACE_DETACH = 0, 17
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SECCOMP_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_LOAD, _JUMP_IF, _RETURN = 0x20, 0x15, 0x06
"""Instructions of the filter: load a word, jump if it equals, return (linux/filter.h)."""
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_NUMBER_AT, _ARGUMENT_AT = 0, 16
"""Where in what the filter sees the call's number and its first argument are."""
_REALTIME = 0
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")
_TIMESPEC = struct.Struct("=qq")
_AUXILIARY = struct.Struct("=QQ")
_AT_IGNORE, _AT_SYSINFO_EHDR = 1, 33
_NS: Final = 10**9

_c = ctypes.CDLL(None, use_errno=True)
_c.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_c.ptrace.restype = _c.syscall.restype = ctypes.c_long


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def main(arguments: Sequence[str]) -> int:
    """Run the program to its end; return its exit code."""
    clock, command = Path(arguments[0]), list(arguments[1:])
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        _become(command, theirs)
    theirs.close()
    listener = socket.recv_fds(ours, 1, 1)[1][0]
    os.waitpid(pid, 0)  # it stops where it would begin
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        _hide_the_page(pid, memory)
        _checked(_c.ptrace(_PTRACE_DETACH, pid, None, None))
        threading.Thread(target=_answer, args=(listener, memory, clock), daemon=True).start()
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _become(command: list[str], door: socket.socket) -> None:
    """In the child: ask for a filter, hand its other end over, turn into the program."""
    _checked(_c.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    _checked(_c.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(_c.ptrace(_PTRACE_TRACEME, 0, None, None))
    clock_gettime, seccomp = CALLS[platform.machine()]
    instructions = b"".join(
        struct.pack("=HBBI", *each)
        for each in (
            (_LOAD, 0, 0, _NUMBER_AT),
            (_JUMP_IF, 0, 3, clock_gettime),
            (_LOAD, 0, 0, _ARGUMENT_AT),
            (_JUMP_IF, 0, 1, _REALTIME),
            (_RETURN, 0, 0, _NOTIFY),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    program = _Program(len(instructions) // 8, instructions)
    flags = (_SECCOMP_SET_MODE_FILTER, _NEW_LISTENER, ctypes.byref(program))
    listener = _checked(_c.syscall(seccomp, *flags))
    socket.send_fds(door, [b"."], [listener])
    os.close(listener)
    os.execvp(command[0], command)


def _hide_the_page(pid: int, memory: BinaryIO) -> None:
    """Have the program find no page to read the clock from."""
    vector = Path(f"/proc/{pid}/auxv").read_bytes()
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    (stack,) = [line.split()[0] for line in maps if line.endswith("[stack]")]
    begin, end = (int(edge, 16) for edge in stack.split("-"))
    memory.seek(begin)
    at = begin + memory.read(end - begin).index(vector)
    for offset in range(0, len(vector), _AUXILIARY.size):
        key, value = _AUXILIARY.unpack_from(vector, offset)
        if key == _AT_SYSINFO_EHDR:
            memory.seek(at + offset)
            memory.write(_AUXILIARY.pack(_AT_IGNORE, value))


def _answer(listener: int, memory: BinaryIO, clock: Path) -> None:
    """Tell the program the time whenever it asks."""
    while True:
        notification = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, notification)
            ident, *_, where, _, _, _, _ = _NOTIFICATION.unpack(notification)
            now = time.clock_gettime_ns(time.CLOCK_REALTIME) + int(clock.read_text()) * _NS
            memory.seek(where)
            memory.write(_TIMESPEC.pack(*divmod(now, _NS)))
            fcntl.ioctl(listener, _SEND, _ANSWER.pack(ident, 0, 0, 0))
        except OSError as error:
            # A thread was interrupted while it asked, and asks again; or the program has ended.
            if error.errno not in {errno.ENOENT, errno.EINTR}:
                return


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
