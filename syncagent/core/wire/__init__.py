"""The wire, sans-I/O: messages, their bytes, and frames; the home of msgpack and zstandard.

`messages` are frozen values; `codec` turns one into bytes and back and refuses what is malformed
or over its limit (`fields` and `columns` say how each part travels); `frames` cuts a byte stream
into messages; `handshake` greets and agrees on a version; `packing` holds the two small
formats that files use too (msgpack with limits, zstd batches of blobs).
"""
