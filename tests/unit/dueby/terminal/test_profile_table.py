"""What a profile says in a sentence beside its table."""

from dueby.terminal.profile_table import facts_of
from support.planner import profile


def test_a_profile_says_how_long_nodes_of_each_pool_took_to_come() -> None:
    rows = [
        {"job": "u1", "time": "2026-12-01T00:00:00Z", "workers": 2, "provisionMicros": {"burst": [240_000_000]}},
        {"job": "u2", "time": "2026-12-01T01:00:00Z", "workers": 2, "provisionMicros": {"a": [60_000_000, 90_000_000]}},
    ]
    said = facts_of(profile(maxMiniBatchSize=256, observed=rows))
    assert "2 nodes of the pool a came after 1m00s (p95 1m30s), 1 node of the pool burst came after 4m00s" in said
    assert "pool" not in facts_of(profile(maxMiniBatchSize=256))
