"""Trees on network mounts, each mount looked after by a process of its own.

`worker` runs in the mount's process and
serves a part of the disk and a watcher there; `process` keeps that process, asks it and waits; and
`mounted` and `watching` are what the agent sees: `MountedPart` and `MountedHints`. `protocol` is
their language.
"""
