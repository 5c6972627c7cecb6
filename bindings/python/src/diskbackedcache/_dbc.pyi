# The compiled module: cffi knows its types at run time only.
from typing import Any

ffi: Any
lib: Any
