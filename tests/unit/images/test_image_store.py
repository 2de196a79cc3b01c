"""A store of images, and what lies beside them."""

import numpy as np
import pytest

from waferbench.base.artifacts import read_h5, read_provenance
from waferbench.base.errors import InputError
from waferbench.base.seals import verify
from waferbench.images.store import read_images, write_images
from waferbench.wafers.store import WaferStore, read_store, write_store

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8)).astype(np.uint8)


def test_what_is_written_is_read(tmp_path):
    write_images(tmp_path / "a.h5", IMAGES, {"label": "loc"})
    store = read_images(tmp_path / "a.h5")
    assert len(store) == 5 and store.images.dtype == np.uint8 and np.array_equal(store.images, IMAGES)
    assert read_provenance(tmp_path / "a.h5") == {"label": "loc"}
    verify(tmp_path / "a.h5")
    write_images(tmp_path / "b.h5", list(IMAGES), {"label": "loc"})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes(), "a list is as good as a stack"


def test_images_are_taken_by_position_in_the_order_asked_for(tmp_path):
    write_images(tmp_path / "a.h5", IMAGES)
    store = read_images(tmp_path / "a.h5")
    assert np.array_equal(store.take([3, 0, 3]), IMAGES[[3, 0, 3]])
    assert store.take([]).shape == (0, 8, 8)
    for index, absent in (([0, 5], 5), (np.array([-1, 2]), -1)):
        with pytest.raises(InputError, match=rf"a\.h5: image {absent} asked for, of 5; rerun"):
            store.take(index, "a.h5")


@pytest.mark.parametrize("images", [IMAGES.astype(float), IMAGES[0], list(IMAGES[0]), [IMAGES[0], IMAGES[0, :4]]])
def test_what_is_no_stack_of_greys_is_refused(tmp_path, images):
    with pytest.raises(ValueError, match=r"expected uint8 \(N, S, S\)|same shape"):
        write_images(tmp_path / "a.h5", images)
    assert list(tmp_path.iterdir()) == []


def test_wafer_maps_lie_beside_the_images_drawn_from_them(tmp_path):
    maps = [np.full((2 + i, 3), i % 3, np.uint8) for i in range(5)]
    write_images(tmp_path / "a.h5", IMAGES, beside=vars(WaferStore.of(maps)))
    assert sorted(read_h5(tmp_path / "a.h5")) == ["flat", "images", "offsets", "shapes"]
    assert np.array_equal(read_images(tmp_path / "a.h5").images, IMAGES)
    assert all(np.array_equal(a, b) for a, b in zip(read_store(tmp_path / "a.h5"), maps, strict=True))


def test_a_file_of_maps_alone_holds_no_images(tmp_path):
    write_store(tmp_path / "a.h5", WaferStore.of([np.ones((2, 2), np.uint8)]))
    with pytest.raises(InputError, match=r"a\.h5: no array 'images'"):
        read_images(tmp_path / "a.h5")
