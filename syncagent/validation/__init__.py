"""Bytes in, verdict out: XML, kinds, Siddhi plans; the home of lxml."""
