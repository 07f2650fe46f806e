"""What all tests share: where their helpers are found, how hypothesis explores, the databases."""

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

# With import-mode=importlib nothing is put on the path, and the helpers are imported by name.
sys.path.insert(0, str(Path(__file__).parent))

from tests.support.kinds import (  # noqa: F401 - hooks and a fixture
    _database_under_test,
    pytest_configure,
    pytest_generate_tests,
)

settings.register_profile(
    "crmcore",
    deadline=None,  # time is measured in bench/, not here
    print_blob=True,  # a failure prints what reproduces it
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("crmcore")
