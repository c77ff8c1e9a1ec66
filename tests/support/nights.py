"""A sink that jobs add to, night after night, by their steps alone."""

from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

import dueby
from dueby_worker.storage.stores import open_store
from support.processes import ProcessJob


class Nights:
    """A sink that jobs add to, night after night; each has an InferenceJob of its own."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder, self.photos = folder, folder / "photos"
        self.steps = ProcessJob(
            folder=folder,
            source={"uri": str(self.photos)},
            sink=str(folder / "rows"),
            images=30,
            part_size=10,
            if_exists="Append",
            **changes,
        )
        self.sink: dict[str, Any] = {"uri": self.steps.sink, "ifExists": "Append"}
        self.store = open_store(self.steps.sink)
        self.night = 0

    def index(self, **changes: Any) -> dict[str, Any]:
        """Run a night's index step."""
        self.night += 1
        found = self.steps.index_here(**{"uid": f"u-{self.night}", "images": None, "sink": self.sink, **changes})
        self.steps.images = found["images"]
        self.steps.part_size = found.get("partSize", self.steps.part_size)
        return found

    def work(self, found: dict[str, Any], **changes: Any) -> None:
        self.steps.work_here(**{"uid": f"u-{self.night}", "fingerprint": found["fingerprint"], **changes})

    def work_partly(self, found: dict[str, Any]) -> None:
        """Do all parts of a night but its last one."""
        self.work(found)
        self.store.delete(max(name for name in self.store.list_names() if name.startswith("part-")))

    def run(self) -> dict[str, Any]:
        """Run a whole night; return what its index step has found."""
        found = self.index()
        self.work(found)
        self.steps.finish_here()
        return found

    def rows(self) -> list[tuple[int, str, int]]:
        """Return index, name and generation of the rows that count, as any reader of the folder finds them."""
        table = dueby.read(self.steps.sink).rows
        names = [uri.rpartition("/")[2] for uri in table["uri"].to_pylist()]
        generations = table["generation"].to_pylist() if "generation" in table.column_names else [1] * len(table)
        files = sorted(Path(self.steps.sink).glob("part-*.parquet"), reverse=True)
        # The schema is that of the newest part, and `replaces` is in each one after the first that has it.
        whole = ds.dataset(files).to_table().to_pylist()
        replaced = {row.get("replaces") for row in whole}
        assert sorted(row["index"] for row in whole if row["index"] not in replaced) == table["index"].to_pylist()
        return list(zip(table["index"].to_pylist(), names, generations, strict=True))
