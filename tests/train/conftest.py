import sys
from pathlib import Path

# The tests of training share the small problem of toy.py, which processes of their own import, too.
sys.path.append(str(Path(__file__).parent))
