"""What `syncagent.watch.inotify` takes for granted of watchdog, which promises none of it."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import TYPE_CHECKING

from watchdog.observers import inotify_c
from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyFD, Mask

from tests.fakes.inbox import DEADLINE_S

if TYPE_CHECKING:
    from pathlib import Path

    from watchdog.observers.inotify_c import InotifyEvent, WatchDescriptor

KERNEL = {  # linux/inotify.h
    "IN_CLOSE_WRITE": 0x08,
    "IN_MOVED_FROM": 0x40,
    "IN_MOVED_TO": 0x80,
    "IN_CREATE": 0x100,
    "IN_DELETE": 0x200,
    "IN_DELETE_SELF": 0x400,
    "IN_MOVE_SELF": 0x800,
    "IN_UNMOUNT": 0x2000,
    "IN_ONLYDIR": 0x0100_0000,
    "IN_DONT_FOLLOW": 0x0200_0000,
    "IN_EXCL_UNLINK": 0x0400_0000,
    "IN_ISDIR": 0x4000_0000,
}


class Callback:
    """Counts what the reader calls; duck-typed, as ours is."""

    def __init__(self) -> None:
        self.events: list[InotifyEvent] = []
        self.dropped: list[WatchDescriptor] = []
        self.overflows = 0

    def on_event(self, event: InotifyEvent) -> None:
        self.events.append(event)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        self.dropped.append(wd)

    def on_queue_overflow(self) -> None:
        self.overflows += 1


def event(wd: int, mask: int, name: bytes = b"") -> InotifyEvent:
    return inotify_c.InotifyEvent(inotify_c.WatchDescriptor(wd), Mask(mask), 0, name)


def test_the_installed_watchdog_is_one_that_was_looked_at() -> None:
    assert version("watchdog").split(".")[:2] == ["7", "1"]


def test_constants_are_the_kernels() -> None:
    assert {name: getattr(InotifyConstants, name) for name in KERNEL} == KERNEL


def test_signatures_are_the_ones_that_are_called() -> None:
    assert list(inspect.signature(InotifyFD.add_callback).parameters) == [
        *("self", "path", "mask", "callback", "id_")
    ]
    assert list(inspect.signature(InotifyFD.remove_callbacks).parameters) == ["self", "callbacks"]
    for name in ("run", "start", "stop", "join", "should_keep_running", "handle_event"):
        assert callable(getattr(InotifyFD, name))
    assert list(inspect.signature(InotifyFD).parameters) == []


def test_every_callback_is_told_of_an_overflow_once(tmp_path: Path) -> None:
    reader = InotifyFD()
    reader.start()
    try:
        one, other = Callback(), Callback()
        (tmp_path / "sub").mkdir()
        mask = Mask(InotifyConstants.IN_CREATE)
        for number, path in enumerate((tmp_path, tmp_path / "sub")):
            reader.add_callback(bytes(path), mask, one, CallbackId(2 * number))
            reader.add_callback(bytes(path), mask, other, CallbackId(2 * number + 1))
        reader.handle_event(event(-1, InotifyConstants.IN_Q_OVERFLOW))
        assert (one.overflows, other.overflows) == (1, 1)
    finally:
        reader.stop()
        reader.join(DEADLINE_S)


def test_unmounts_and_moves_of_the_folder_itself_reach_the_callback(tmp_path: Path) -> None:
    reader = InotifyFD()
    reader.start()
    try:
        callback = Callback()
        mask = Mask(InotifyConstants.IN_CREATE)
        wd = reader.add_callback(bytes(tmp_path), mask, callback, CallbackId(1))
        for bit in ("IN_UNMOUNT", "IN_MOVE_SELF", "IN_DELETE_SELF"):
            reader.handle_event(event(wd, getattr(InotifyConstants, bit)))
        assert [e.mask for e in callback.events] == [0x2000, 0x800, 0x400]
        reader.handle_event(event(wd, InotifyConstants.IN_IGNORED))
        assert callback.dropped == [wd]
        reader.remove_callbacks([(wd, CallbackId(1))])  # of a watch that is gone: quiet
    finally:
        reader.stop()
        reader.join(DEADLINE_S)


def test_one_folder_is_one_watch_under_any_id_and_lives_until_the_last(tmp_path: Path) -> None:
    reader = InotifyFD()
    reader.start()
    try:
        callback = Callback()
        mask = Mask(InotifyConstants.IN_CREATE)
        first = reader.add_callback(bytes(tmp_path), mask, callback, CallbackId(1))
        second = reader.add_callback(bytes(tmp_path), mask, callback, CallbackId(2))
        assert first == second
        reader.remove_callbacks([(first, CallbackId(1))])
        reader.handle_event(event(first, InotifyConstants.IN_CREATE, b"x"))
        assert len(callback.events) == 1
    finally:
        reader.stop()
        reader.join(DEADLINE_S)
