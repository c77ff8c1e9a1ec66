"""The part grid: every image is in one part, and only the last part may be smaller than the others."""

from hypothesis import given
from hypothesis import strategies as st

from dueby_api.grid import Grid, Share

GRIDS = st.builds(Grid, images=st.integers(1, 3_000), part_size=st.integers(1, 700))


@given(GRIDS)
def test_the_parts_of_a_grid_hold_every_image_once_and_in_order(grid: Grid) -> None:
    bounds = [grid.bounds(part) for part in range(grid.parts)]
    assert [image for first, last in bounds for image in range(first, last + 1)] == list(range(grid.images))


@given(GRIDS)
def test_only_the_last_part_is_smaller_than_the_others(grid: Grid) -> None:
    sizes = [grid.size(part) for part in range(grid.parts)]
    assert sizes[:-1] == [grid.part_size] * (grid.parts - 1)
    assert 1 <= sizes[-1] <= grid.part_size


@given(GRIDS, st.data())
def test_the_images_of_some_parts_are_the_sum_of_their_sizes(grid: Grid, data: st.DataObject) -> None:
    some = data.draw(st.sets(st.integers(0, grid.parts - 1)))
    assert grid.images_in(some) == sum(grid.size(part) for part in some)


def test_a_grid_of_a_million_million_images_is_counted_without_listing_it() -> None:
    grid = Grid(images=10**12, part_size=65_536)
    assert grid.parts == 15_258_790
    assert grid.bounds(grid.parts - 1) == (15_258_789 * 65_536, 10**12 - 1)
    assert grid.images_in(range(grid.parts)) == 10**12


def test_a_share_is_as_long_as_it_has_parts_and_an_empty_one_is_false() -> None:
    assert len(Share(first=3, end=7)) == 4
    assert not Share(first=3, end=3)
