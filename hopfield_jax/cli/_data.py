"""Images to store: scikit-learn's digits, image files, folders of them, or one `.npy` array."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._checks import describe, fail, kind

DEFAULT_SIZE, LARGEST_KEPT = 32, 64
"""Pixels a side: that pictures are resized to, and up to which pictures of one size keep theirs."""
_NO_PICTURES = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
"""Formats that Pillow knows but (without more programs) cannot make pixels of."""


@dataclasses.dataclass(frozen=True)
class Images:
    """Different images as rows of real numbers, shape (images, height · width).

    **Attributes:** `source`: where they come from, for people; `num_copies`: how many exact copies were left out;
    `ink`: whether large numbers are dark.
    """

    rows: np.ndarray
    shape: tuple[int, int]
    source: str
    num_copies: int
    ink: bool = False


def load(sources: Sequence[Path], size: int | None) -> Images:
    """Reads `sources`, or the digits if there are none; image files become squares of `size` pixels a side (`None`:
    they keep the size that they have in common, if it is small; else of `DEFAULT_SIZE`).

    **Raises:** `ValueError` that names the source, what was expected and what was got.
    """
    arrays = [path for path in sources if path.suffix.lower() == ".npy"]
    if size is not None and (arrays or not sources):
        fail("size", "image files to resize (arrays and the digits keep their size)", size)
    if arrays and len(sources) > 1:
        fail("sources", "one .npy array, or images and folders only", f"{len(sources)} sources with {arrays[0]}")
    if not sources:
        stack, source, ink = _digits(), "scikit-learn's scanned digits", True
    elif arrays:
        stack, source, ink = _array(arrays[0]), str(arrays[0]), False
    else:
        stack, num_skipped = _read_images(sources, size)
        source, ink = f"{len(stack)} image files", False
        if num_skipped:
            source += f" ({num_skipped} other file{'s' * (num_skipped > 1)} skipped)"
    shape = stack.shape[1:]
    if stack.ndim == 2:
        shape = _shape_of(stack.shape[1])
        source += f", rows of {stack.shape[1]} numbers taken as "
        source += "strips" if shape[0] == 1 else f"{shape[0]} × {shape[1]} images"
    rows, first = np.unique(stack.reshape(len(stack), -1), axis=0, return_index=True)
    rows = rows[np.argsort(first)]  # in the order they came in
    return Images(rows, (int(shape[0]), int(shape[1])), source, len(stack) - len(rows), ink)


def _digits() -> np.ndarray:
    from sklearn.datasets import load_digits

    return np.asarray(load_digits(return_X_y=True)[0], np.float64).reshape(-1, 8, 8)


def _array(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            values = np.load(file, allow_pickle=False)
    except OSError as error:
        fail("sources", "a .npy array of numbers", f"{path} ({_reason(error)})")
    except (ValueError, EOFError):
        fail("sources", "a .npy array of numbers, as `numpy.save` writes it", f"{path}, which is something else")
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "buif":
        fail("sources", "a .npy array of real numbers", f"{path} of {getattr(values, 'dtype', kind(values))}")
    if values.ndim not in (2, 3) or 0 in values.shape:
        fail("sources", "shape (patterns, neurons) or (patterns, height, width)", f"{path} of shape {values.shape}")
    values = values.astype(np.float64)
    if not np.all(np.isfinite(values)):
        fail("sources", "finite numbers", f"{path}, {describe(values)}")
    return values


def _shape_of(num_neurons: int) -> tuple[int, int]:
    """A square where the number allows it, else one row."""
    side = round(num_neurons**0.5)
    return (side, side) if side**2 == num_neurons else (1, num_neurons)


def _image_files(folder: Path) -> tuple[list[Path], int]:
    """The files of a folder that Pillow should be able to open, and the number of all others; no hidden ones."""
    from PIL import Image

    endings = {end for end, name in Image.registered_extensions().items() if name in Image.OPEN}
    endings -= {end for end, name in Image.registered_extensions().items() if name in _NO_PICTURES}

    def is_picture(path: Path) -> bool:
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(folder).parts)
        return path.suffix.lower() in endings and not hidden

    there = sorted(path for path in folder.rglob("*") if path.is_file())
    found = [path for path in there if is_picture(path)]
    if not found:
        arrays = [path.name for path in there if path.suffix.lower() == ".npy"]
        has = f"which has none, but {arrays[0]}" if arrays else "which has none"
        fail("sources", "a folder with images in it (or one .npy array with a pattern a row)", f"{folder}, {has}")
    return found, len(there) - len(found)


def _read_images(sources: Sequence[Path], size: int | None) -> tuple[np.ndarray, int]:
    """The pictures in files and folders, and how many other files were skipped in the latter."""
    from PIL import Image
    from tqdm import tqdm

    files: list[tuple[Path, bool]] = []
    num_skipped = 0
    for source in sources:
        if source.is_dir():
            found, others = _image_files(source)
            files += [(path, False) for path in found]
            num_skipped += others
        elif not source.exists():
            fail("sources", "images, folders of images or a .npy array", f"{source}, which does not exist")
        elif source.suffix.lower() == ".npz":
            fail(
                "sources", "images, or one .npy array (`numpy.save` of one of them)", f"{source}, an archive of several"
            )
        else:
            files.append((source, True))
    pictures, sizes, side = [], set(), DEFAULT_SIZE if size is None else size
    for path, is_named in tqdm(files, desc="reading images", delay=2, leave=False, disable=None):
        try:
            with Image.open(path) as image:
                grey = _grey(image)
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            if isinstance(error, Image.UnidentifiedImageError) and not is_named:
                num_skipped += 1
                continue
            fail("sources", "an image that can be read", f"{path} ({_reason(error)})")
        sizes.add(grey.size)
        keep = size is None and max(grey.size) <= LARGEST_KEPT
        pictures.append(grey if keep else _square(grey, side))
    if not pictures:
        fail("sources", "images", f"{num_skipped} files that are none")
    if len(sizes) > 1:
        pictures = [_square(picture, side) for picture in pictures]
    return np.stack([np.asarray(picture, np.float64) for picture in pictures]), num_skipped


def _square(picture: Any, side: int) -> Any:
    from PIL import Image

    return picture.resize((side, side), Image.Resampling.BOX)


def _grey(image: Any) -> Any:
    """A picture of shades from 0 to 255 (16-bit images scaled to that), what is transparent on white."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        shades = np.asarray(image, np.float32)
        if not np.all(np.isfinite(shades)):
            raise ValueError("not finite")
        image = Image.fromarray(shades * (1 if image.mode == "F" else 255 / 65535))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.copy() if image.mode == "F" else image.convert("L").convert("F")


def _reason(error: Exception) -> str:
    """One line about an error, without the path that stands beside it."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return "not an image" if "cannot identify image" in text else text.splitlines()[0]
