"""A sweep on disk: one Zarr array per output, one chunk per block, and a checksum of every finished block.

The format is Zarr version 2, which xarray and readers in other languages support (version 3 has no stable strings and
no consolidated metadata yet). xarray and zarr are imported inside functions only.
"""

import datetime
import functools
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._checks import extra, fail, kind
from ._grid import Block, Grid, Tiling
from ._names import MARKS, STATUS
from ._program import Output

StatusFlags = ("missing", "finite", "not_finite", "raised")
"""Status of a point: not computed yet; all real outputs are finite; some are NaN or infinite; the function raised at
run time and its outputs are fill values (NaN, -1 for signed integers, 0 for unsigned ones, False for booleans)."""
MISSING, FINITE, NOT_FINITE, RAISED = range(4)
_FILL = {"f": np.nan, "i": -1}  # Zarr's fill values; unsigned integers and booleans have none, as all values are valid
_CONFIGURATION, _LAYOUT, _UNFINISHED = "configuration", "layout", "sweep_is_being_made"
OWN_ATTRIBUTES = (_CONFIGURATION, _LAYOUT, _UNFINISHED, "history")


class Store:
    """A Zarr group with the outputs of a sweep. Every block is written by one worker; no locks are needed."""

    def __init__(self, group: Any, where: str):
        self.group, self.where = group, where
        layout = json.loads(group.attrs[_LAYOUT])
        self.tiling = Tiling(tuple(layout["shape"]), tuple(layout["block"]))
        self.arrays: dict[str, Any] = {name: group[name] for name in layout["outputs"]}
        self.marks: Any = group[MARKS]["checksum"]
        _check_metadata(group, layout)

    @staticmethod
    def create(
        where: str | Path | None,
        grid: Grid,
        tiling: Tiling,
        outputs: Mapping[str, Output],
        configuration: dict[str, Any],
        attributes: Mapping[str, Any],
        describe: Mapping[str, Mapping[str, Any]],
    ) -> "Store":
        """Creates all arrays with fill values. `describe`: attributes of axes and outputs; `dims` in it names an
        output's own axes."""
        import zarr
        from zarr.storage import MemoryStore

        place = "memory" if where is None else location(where)
        target = MemoryStore() if where is None else place
        group = zarr.create_group(target, zarr_format=2, overwrite=True, attributes={_UNFINISHED: True})
        for axis in grid.axes:
            _array(group, axis.name, axis.labels, [axis.name], describe.get(axis.name, {}))
        outputs = {**outputs, STATUS: Output((), np.dtype(np.int8), StatusFlags)}
        for name, output in outputs.items():
            about: dict[str, Any] = dict(describe.get(name, {}))
            own: Any = list(about.pop("dims", [f"{name}_{i}" for i in range(len(output.shape))]))
            if output.flags:
                about |= {"flag_values": list(range(len(output.flags))), "flag_meanings": " ".join(output.flags)}
            group.create_array(
                name,
                shape=(*grid.shape, *output.shape),
                chunks=(*tiling.block, *(max(n, 1) for n in output.shape)),
                dtype=output.dtype,
                fill_value=MISSING if name == STATUS else _FILL.get(output.dtype.kind),
                attributes={**about, "_ARRAY_DIMENSIONS": [*grid.names, *own]},
                compressors=_compressor(),
                config={"write_empty_chunks": True},
            )
        group.create_group(MARKS).create_array(
            "checksum",
            compressors=_compressor(),
            shape=tiling.numbers,
            chunks=(1,) * len(tiling.shape),
            dtype=np.int64,
            fill_value=-1,
        )
        layout: dict[str, Any] = {"shape": grid.shape, "block": tiling.block, "outputs": list(outputs)}
        layout["axes"] = [axis.name for axis in grid.axes]
        layout["metadata"] = _checksum_of_metadata(group, layout)
        own = {_CONFIGURATION: json.dumps(configuration), _LAYOUT: json.dumps(layout)}
        # Written last: a store whose creation was interrupted has no layout and is created again.
        group.attrs.put({"title": "A sweep", **attributes, **own})
        zarr.consolidate_metadata(group.store)
        return Store(group, place)

    @staticmethod
    def find(where: str | Path) -> "Store | None":
        """The existing store, or `None` if there is none or its creation was interrupted.

        **Raises:** `ValueError` if the path holds anything else.
        """
        import zarr

        if not isinstance(where, str | Path):
            fail("store", "a folder or an address", kind(where))
        where = location(where)
        here = None if "://" in where else Path(where)
        if here and (not here.exists() or here.is_dir() and not any(here.iterdir())):
            return None
        try:
            group = zarr.open_group(where, mode="r+", use_consolidated=False)
            if _LAYOUT in group.attrs:
                return Store(group, where)
        except ModuleNotFoundError as error:
            missing = f"`store`: {where} is an address, which needs `pip install fsspec` ({error})."
            raise ModuleNotFoundError(missing, name="fsspec") from None
        except FileNotFoundError:
            if here is None:
                return None
            fail("store", "a new folder or the store of a sweep", f"{where}, a folder of something else")
        except (PermissionError, ConnectionError, TimeoutError, ImportError, MemoryError):
            raise
        except Exception as error:  # any decoder error from damaged metadata
            fail("store", "a new folder or the store of a sweep", f"{where} ({type(error).__name__}: {error})")
        if _UNFINISHED in group.attrs:
            return None
        fail("store", "a new folder or the store of a sweep", f"{where}, a Zarr group of something else")

    @property
    def configuration(self) -> dict[str, Any]:
        return json.loads(self.group.attrs[_CONFIGURATION])

    def write(self, block: Block, values: Mapping[str, np.ndarray]) -> None:
        """Writes the outputs of a block, each with a leading axis (block_size,), then its checksum."""
        boxes = {name: np.ascontiguousarray(self.tiling.inside(block, values[name])) for name in self.arrays}
        for name, box in boxes.items():
            self.arrays[name][self.tiling.slices(block)] = box
        self.marks[block] = _checksum(boxes)

    def is_finished(self, block: Block) -> bool:
        """Whether a block has a checksum and its data match it."""
        try:
            mark = int(self.marks[block])
            if mark < 0:
                return False
            boxes = {name: np.ascontiguousarray(x[self.tiling.slices(block)]) for name, x in self.arrays.items()}
        except Exception:  # any decoder error from damaged chunks
            return False
        return mark == _checksum(boxes)

    def clear(self, block: Block) -> None:
        """Removes a block's checksum."""
        self.marks[block] = -1

    def note(self, line: str) -> None:
        """Appends a line with a time stamp to the history."""
        import zarr

        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        history = [*filter(None, self.group.attrs.get("history", "").split("\n")), f"{now} {line}"]
        self.group.attrs["history"] = "\n".join(history)
        zarr.consolidate_metadata(self.group.store)

    def dataset(self) -> Any:
        import zarr

        try:
            consolidated = zarr.open_group(self.group.store, mode="r", use_consolidated=True)
            _check_metadata(consolidated, json.loads(self.group.attrs[_LAYOUT]))
            return _open(self.group.store)
        except (PermissionError, ConnectionError, TimeoutError, ImportError, MemoryError):
            raise
        except Exception as error:  # any decoder error from damaged metadata
            fail("store", "the store of a sweep", f"{self.where}, which is damaged ({type(error).__name__}: {error})")


def open(store: str | Path, *, missing_ok: bool = False) -> Any:
    """Opens the store of a sweep, finished or not.

    **Arguments:**

    - `store`: as given to `run`.
    - `missing_ok`: return `None` where there is no store yet, or an empty folder.

    **Returns:** an `xarray.Dataset` that is loaded lazily. Its variables have the grid's axes, then their own;
    `point_status` says which points are missing, finite, not finite or raised. `dataset.to_netcdf(path)`, `to_zarr` and
    `to_dataframe().to_csv(path)` export it.

    **Raises:** `ValueError` if the store does not exist (unless `missing_ok`) or is not a sweep.
    """
    libraries_are_there()
    found = Store.find(store)
    if found is None and not missing_ok:
        fail("store", "the store of a sweep", f"{store}, where there is none")
    return None if found is None else found.dataset()


def location(where: str | Path) -> str:
    """An address unchanged, or the absolute path of a folder with `~` expanded."""
    return str(where) if "://" in str(where) else os.path.abspath(os.path.expanduser(where))


def libraries_are_there() -> None:
    """Raises unless xarray and zarr can be imported; called before anything long begins."""
    with extra("sweep"):
        import xarray  # noqa: F401
        import zarr  # noqa: F401


def missing(dtype: np.dtype) -> Any:
    """The fill value of a type."""
    return _FILL.get(dtype.kind, dtype.type(0).item())


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """The differences of two configurations, one line each."""
    flat = [_flatten(x) for x in (wanted, found)]
    return [
        f"{name}: {flat[0].get(name, 'none')}, in the store {flat[1].get(name, 'none')}"
        for name in {**flat[0], **flat[1]}
        if flat[0].get(name) != flat[1].get(name)
    ]


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for name, x in tree.items():
        found |= _flatten(x, f"{prefix}{name} ") if isinstance(x, Mapping) else {f"{prefix}{name}": x}
    return found


def _checksum(boxes: Mapping[str, np.ndarray]) -> int:
    return functools.reduce(lambda value, box: zlib.crc32(box.tobytes(), value), boxes.values(), 0)


def _checksum_of_metadata(group: Any, layout: Mapping[str, Any]) -> int:
    """Checksum of the metadata of all arrays: types, shapes, chunks, compressors and attributes."""
    arrays = {name: group[name] for name in (*layout["axes"], *layout["outputs"], f"{MARKS}/checksum")}
    about = {
        name: [x.dtype.str, x.shape, x.chunks, x.order, str(x.fill_value), dict(x.attrs), *map(repr, x.compressors)]
        for name, x in arrays.items()
    }
    return zlib.crc32(json.dumps(about, sort_keys=True, default=str).encode())


def _check_metadata(group: Any, layout: Mapping[str, Any]) -> None:
    if _checksum_of_metadata(group, layout) != layout["metadata"]:
        raise ValueError("its metadata are not those that were written")


def _compressor() -> Any:
    """Zstandard with a checksum in every chunk, so that reading a damaged one raises."""
    import numcodecs

    return numcodecs.Zstd(level=0, checksum=True)


def _array(group: Any, name: str, values: np.ndarray, dims: list[str], about: Mapping[str, Any]) -> None:
    attributes = dict(about) | {"_ARRAY_DIMENSIONS": dims}
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=values.shape,
        dtype=values.dtype,
        fill_value=None,
        compressors=_compressor(),
        attributes=attributes,
    )
    array[:] = values


def _open(target: Any) -> Any:
    import xarray as xr

    found = xr.open_zarr(
        target, chunks=None, consolidated=True, mask_and_scale=False, decode_times=False, decode_timedelta=False
    )
    for variable in found.variables.values():
        variable.attrs.pop("_FillValue", None)
    return found.drop_encoding()  # chunks and compressors of this store do not apply to other formats
