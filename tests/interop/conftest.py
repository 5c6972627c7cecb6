from __future__ import annotations

import sys
from pathlib import Path

# The models and helpers that the tests here and the Python worker share.
sys.path.insert(0, str(Path(__file__).resolve().parent))
