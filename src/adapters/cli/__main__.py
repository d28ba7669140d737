# PYTHON_ARGCOMPLETE_OK
"""`python -m adapters.cli`: the same as `runtime-core`."""

import sys

from adapters.cli import main

if __name__ == "__main__":
    sys.exit(main())
