"""The only user of file system calls: a layer below the shells, which get it handed in."""
