import sys
from pathlib import Path

# The tests of what deforms share the fields of deformations.py.
sys.path.append(str(Path(__file__).parent))
