"""How tests with random examples run"""
from hypothesis import HealthCheck, settings

# A test uses one database for all its examples, which are the same in each run.
same_examples = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
