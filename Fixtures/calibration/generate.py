"""Writes the files of this folder: pictures, what Pillow makes of them, and NumPy files of every kind.

Needs numpy and Pillow (13.0). The pictures are computed, so there is nobody's data in them.
"""

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

rng = np.random.default_rng(2026)
height, width = 47, 61
y, x = np.mgrid[0:height, 0:width]
smooth = np.stack([128 + 100 * np.sin(x / 7 + c) * np.cos(y / (5 + c)) for c in range(3)], axis=-1)
pixels = np.clip(smooth + rng.normal(0, 20, smooth.shape), 0, 255).astype(np.uint8)
picture = Image.fromarray(pixels)
picture.save("picture.png")
picture.save("picture.jpg", quality=90)
picture.convert("L").save("grey.png")
picture.convert("L").save("grey.jpg", quality=90)
picture.convert("CMYK").save("cmyk.jpg", quality=90)
picture.convert("P").save("palette.png")
alpha = picture.convert("RGBA")
alpha.putalpha(Image.fromarray((x * 4).astype(np.uint8)))
alpha.save("alpha.png")
expected = {
    "pixels": pixels,
    "grey_pixels": np.asarray(picture.convert("L")),
    "palette": np.asarray(Image.open("palette.png").convert("RGB")),
    "jpg": np.asarray(Image.open("picture.jpg")),
    "grey_jpg": np.asarray(Image.open("grey.jpg")),
    "cmyk_jpg": np.asarray(Image.open("cmyk.jpg").convert("RGB")),
}
sizes = [(61, 20), (20, 47), (30, 23), (7, 5), (1, 1), (100, 80), (61, 94), (200, 3), (64, 64)]
for size in sizes:
    expected[f"resize_{size[0]}x{size[1]}"] = np.asarray(picture.resize(size, Image.BILINEAR))
expected["grey_resize_29x31"] = np.asarray(picture.convert("L").resize((29, 31), Image.BILINEAR))

# Short side 32, centre crop 28, the usual mean and deviation.
scaled = np.asarray(picture.resize((int(32 * width / height), 32), Image.BILINEAR))
left, top = int(round((scaled.shape[1] - 28) / 2.0)), int(round((32 - 28) / 2.0))
crop = scaled[top : top + 28, left : left + 28]
mean = np.array([0.485, 0.456, 0.406], np.float32)
std = np.array([0.229, 0.224, 0.225], np.float32)
values = (crop.astype(np.float32) / np.float32(255) - mean) / std
expected["imagenet_nchw"] = np.ascontiguousarray(values.transpose(2, 0, 1)[None])
expected["tf_nhwc"] = (crop.astype(np.float32) / np.float32(127.5) - np.float32(1))[None]

# Letterbox to 40x40, BGR, 0 to 255.
ratio = min(40 / width, 40 / height)
small = np.asarray(picture.resize((int(width * ratio), int(height * ratio)), Image.BILINEAR))
box = np.full((40, 40, 3), 114, np.uint8)
box[: small.shape[0], : small.shape[1]] = small
expected["letterbox"] = np.ascontiguousarray(box[:, :, ::-1].astype(np.float32).transpose(2, 0, 1)[None])
np.savez_compressed("expected.npz", **expected)

stack = rng.normal(size=(5, 3, 4)).astype(np.float32)
np.save("stack.npy", stack)
np.save("fortran.npy", np.asfortranarray(stack))
np.save("big_endian.npy", stack.astype(">f4"))
np.save("double.npy", stack.astype(np.float64))
np.save("half.npy", stack.astype(np.float16))
np.savez("stored.npz", a=stack, b=np.arange(10, dtype=np.int64).reshape(5, 2))
np.savez_compressed("deflated.npz", a=stack, b=np.arange(10, dtype=np.int64).reshape(5, 2))


def zip64(path):
    """An archive whose directory has all sizes in zip64 fields, as one of more than 4 GiB has."""
    data = io.BytesIO()
    np.save(data, stack)
    data = data.getvalue()
    name, ones = b"a.npy", 0xFFFFFFFF
    checksum = zlib.crc32(data)
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 45, 0, 0, 0, 0x21, checksum, ones, ones, len(name), 20) + name
    local += struct.pack("<HHQQ", 1, 16, len(data), len(data)) + data
    entry = struct.pack(
        "<4sHHHHHHIIIHHHHHII", b"PK\1\2", 45, 45, 0, 0, 0, 0x21, checksum, ones, ones, len(name), 28, 0, 0, 0, 0, ones
    )
    entry += name + struct.pack("<HHQQQ", 1, 24, len(data), len(data), 0)
    end = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(entry), len(local))
    end += struct.pack("<4sIQI", b"PK\6\7", 0, len(local) + len(entry), 1)
    end += struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, ones, ones, 0)
    open(path, "wb").write(local + entry + end)
    assert np.array_equal(np.load(path)["a"], stack)


zip64("zip64.npz")
