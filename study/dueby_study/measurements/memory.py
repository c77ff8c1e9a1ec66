"""Memory over image size and mini-batch size, which is the study's first figure. Each point is one mini-batch size."""

from collections.abc import Sequence

from dueby_profiler.machine.machine import software_versions
from dueby_profiler.measuring.memory_map import Cell, MemoryMap, map_memory
from dueby_profiler.progress_listener import ProgressListener
from dueby_study.context import StudyContext
from dueby_study.measurements.profiles import SUBJECT_COLUMNS
from dueby_study.row_store import Row, RowColumn

STAGE = "memory"
COLUMNS = (
    *SUBJECT_COLUMNS,
    RowColumn(name="mini_batch_size", type="int64", doc="images in a mini-batch"),
    RowColumn(name="memory_mib", type="int64", doc="peak of a fresh process; null: it does not fit"),
)


def points(context: StudyContext) -> list[str]:
    """Return a point for each mini-batch size, the smaller ones first, since they show whether the larger ones will
    fit.
    """
    return [_name(size) for size in context.preset.memory_sizes]


def measure(context: StudyContext, point: str, listener: ProgressListener) -> None:
    """Measure all image sizes at one mini-batch size."""
    profile = context.profile().spec
    measured = cells(context.row_store.rows(STAGE))
    memory_map = map_memory(
        model=context.subject.replace(engine=profile.engine),
        machine=context.machine,
        classes=[profile.device_class],
        image_sizes=context.preset.image_sizes,
        mini_batch_sizes=[size for size in context.preset.memory_sizes if _name(size) == point],
        known=measured,
        listener=listener,
    )
    facts = {
        "model": memory_map.model,
        "precision": memory_map.precision,
        "device_class": memory_map.device_class,
        "engine": memory_map.engine,
    }
    rows = [
        {
            **facts,
            "image_size": cell.image_size,
            "mini_batch_size": cell.mini_batch_size,
            "memory_mib": cell.memory_mib,
        }
        for cell in memory_map.cells
    ]
    context.keep(STAGE, point, rows, COLUMNS)


def cells(rows: Sequence[Row]) -> tuple[Cell, ...]:
    """Return the rows as cells of a memory map."""
    measured = [
        Cell(image_size=row["image_size"], mini_batch_size=row["mini_batch_size"], memory_mib=row["memory_mib"])
        for row in rows
    ]
    return tuple(sorted(measured, key=lambda cell: (cell.image_size, cell.mini_batch_size)))


def map_of(rows: Sequence[Row]) -> MemoryMap | None:
    """Return the memory map measured so far; None while there is no row."""
    if not rows:
        return None
    first = rows[0]
    return MemoryMap(
        model=first["model"],
        precision=first["precision"],
        engine=first["engine"],
        device_class=first["device_class"],
        software=software_versions(),
        cells=cells(rows),
    )


def _name(size: int) -> str:
    return f"{size:05d}"
