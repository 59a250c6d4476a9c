"""Run the program: `python -m deepfl`."""

import sys

from deepfl.program import main

sys.exit(main())
