"""Where the product's packages lie in the repository: each root holds one, and `dueby` is its own root."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
# By package, the folder that holds its modules.
PACKAGES = {
    "dueby": REPOSITORY / "dueby",
    "dueby_api": REPOSITORY / "api" / "dueby_api",
    "dueby_planner": REPOSITORY / "planner" / "dueby_planner",
    "dueby_pages": REPOSITORY / "pages" / "dueby_pages",
    "dueby_operator": REPOSITORY / "operator" / "dueby_operator",
    "dueby_worker": REPOSITORY / "worker" / "dueby_worker",
    "dueby_profiler": REPOSITORY / "profiler" / "dueby_profiler",
    "dueby_study": REPOSITORY / "study" / "dueby_study",
}
