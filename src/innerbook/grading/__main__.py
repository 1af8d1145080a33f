"""``python -m innerbook.grading FOLDER``: grades a folder of submissions."""

import sys

from innerbook.grading.command import main

if __name__ == "__main__":
    sys.exit(main())
