"""Makes the harness importable, as ``rappit_faults``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
