"""The commands, a file each.

A command is a module with `ABOUT`, its first sentence of help; perhaps an `EPILOG`; `define`, which
adds its arguments to a parser; and `run`, which does it and gives the exit code. What takes long
to import is imported by `run`.
"""
