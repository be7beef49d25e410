"""Ways to spoil a folder of five images and masks, and the messages that name what is wrong."""

import os
import struct
import zlib

import numpy as np
from PIL import Image


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def insert_chunks(file, chunks):
    """After the header of a PNG."""
    whole = file.read_bytes()
    file.write_bytes(whole[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + whole[33:])


def orphan_image(root):
    (root / "masks/02.png").unlink()


def orphan_mask(root):
    (root / "images/02.png").unlink()


def other_size(root):
    Image.new("L", (7, 6)).save(root / "masks/02.png")


def colour_mask(root):
    Image.new("RGB", (8, 6), (128, 64, 0)).save(root / "masks/02.png")


def jpeg_mask(root):
    (root / "masks/02.png").unlink()
    Image.new("L", (8, 6)).save(root / "masks/02.jpg")


def jpeg_mask_called_png(root):
    Image.new("L", (8, 6)).save(root / "masks/02.png", format="JPEG")


def truncated_image(root):
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(noise).save(root / "images/02.png")
    whole = (root / "images/02.png").read_bytes()
    (root / "images/02.png").write_bytes(whole[: len(whole) // 2])


def text_called_png(root):
    (root / "images/02.png").write_text("no image")


def empty_file(root):
    (root / "masks/02.png").write_bytes(b"")


def huge_image(root):
    Image.new("1", (10_000, 9_000)).save(root / "images/02.png")


def gigantic_image(root):
    Image.new("1", (20_000, 9_000)).save(root / "images/02.png")


def two_of_a_name(root):
    Image.new("RGB", (8, 6)).save(root / "images/02.jpg")


def other_format(root):
    Image.new("RGB", (8, 6)).save(root / "images/02.bmp")


def text_bomb(root):
    insert_chunks(root / "images/02.png", [(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 2**27))])


def many_texts(root):
    """Each of a megabyte, which is allowed; together they are not."""
    text = b"Comment\0\0" + zlib.compress(b"x" * (2**20 - 100))
    insert_chunks(root / "images/02.png", [(b"zTXt", text)] * 70)


def profile_bomb(root):
    insert_chunks(root / "images/02.png", [(b"iCCP", b"icc\0\0" + zlib.compress(b"x" * 2**27))])


def claimed_size(root):
    """A header of 60000x60000 before the pixels of 8x6."""
    file = root / "images/02.png"
    whole = bytearray(file.read_bytes())
    whole[16:24] = struct.pack(">II", 60_000, 60_000)
    whole[29:33] = struct.pack(">I", zlib.crc32(bytes(whole[12:29])))
    file.write_bytes(bytes(whole))


def palette_bomb(root):
    """Four million colours in a palette of at most 256."""
    mask = Image.fromarray(np.zeros((6, 8), np.uint8)).convert("P")
    mask.save(root / "masks/02.png")
    whole = (root / "masks/02.png").read_bytes()
    at = whole.index(b"PLTE") - 4
    end = at + 12 + struct.unpack(">I", whole[at : at + 4])[0]
    bomb = png_chunk(b"PLTE", b"\1\2\3" * 2**22)
    (root / "masks/02.png").write_bytes(whole[:at] + bomb + whole[end:])


def truncated_jpeg(root):
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    (root / "images/02.png").unlink()
    Image.fromarray(noise).save(root / "images/02.jpg")
    whole = (root / "images/02.jpg").read_bytes()
    (root / "images/02.jpg").write_bytes(whole[: len(whole) - 40])


def named_pipe(root):
    (root / "images/02.png").unlink()
    os.mkfifo(root / "images/02.png")


def dangling_link(root):
    (root / "images/02.png").unlink()
    (root / "images/02.png").symlink_to(root / "images/nowhere.png")


def label_no_class(root):
    Image.fromarray(np.full((6, 8), 37, np.uint8)).save(root / "masks/02.png")


def link_out(root):
    outside = root.parent / f"{root.name}-outside.png"
    (root / "images/02.png").rename(outside)
    (root / "images/02.png").symlink_to(outside)


def linked_list_out(root):
    outside = root.parent / f"{root.name}-outside.txt"
    outside.write_text("00\n01\n")
    (root / "train.txt").symlink_to(outside)
    (root / "val.txt").write_text("04\n")


def linked_classes_out(root):
    outside = root.parent / f"{root.name}-outside.txt"
    outside.write_text("secret\nsecrets\nmore\n")
    (root / "classes.txt").symlink_to(outside)


def classes_in_latin_1(root):
    (root / "classes.txt").write_bytes("road\nTür\nsky\n".encode("latin-1"))


def too_many_classes(root):
    (root / "classes.txt").write_text("\n".join(f"class{n}" for n in range(256)))


def linked_folder_out(root):
    outside = root.parent / f"{root.name}-outside"
    (root / "images").rename(outside)
    (root / "images").symlink_to(outside)


def linked_loop(root):
    (root / "images/again").symlink_to(root / "images")


def no_images(root):
    for file in (root / "images").iterdir():
        file.unlink()


def no_masks_folder(root):
    os.rename(root / "masks", root / "answers")


WRONG_SAMPLES = [
    (orphan_image, r"images without a mask: \S*images/02\.png"),
    (orphan_mask, r"masks without an image: \S*masks/02\.png"),
    (other_size, r"masks/02\.png: is 7x6, its image \S*images/02\.png 8x6; sizes must agree"),
    (colour_mask, r"masks/02\.png: has 3 channels \(RGB\); .* palette PNG"),
    (jpeg_mask, r"masks/02\.jpg: is a JPEG; masks must be PNG"),
    (jpeg_mask_called_png, r"masks/02\.png: is a JPEG; masks must be PNG"),
    (text_called_png, r"images/02\.png: is none of PNG, JPEG, TIFF, WebP and \.npy"),
    (empty_file, r"masks/02\.png: is empty"),
    (huge_image, r"images/02\.png: 10000x9000 is more than \d+ pixels.*decompression bomb"),
    (gigantic_image, r"images/02\.png: has more than \d+ pixels.*decompression bomb"),
    (claimed_size, r"images/02\.png: has more than \d+ pixels.*decompression bomb"),
    (text_bomb, r"images/02\.png: cannot be decoded \(Decompressed data too large"),
    (many_texts, r"images/02\.png: cannot be decoded \(Too much memory used in text chunks"),
    (profile_bomb, r"images/02\.png: cannot be decoded \(Decompressed data too large"),
    (palette_bomb, r"masks/02\.png: cannot be decoded \(invalid palette size"),
    (truncated_image, r"images/02\.png: cannot be decoded, it may be cut short"),
    (truncated_jpeg, r"images/02\.jpg: cannot be decoded, it may be cut short"),
    (named_pipe, r"images/02\.png: is not a regular file"),
    (dangling_link, r"images/02\.png: is a link to \S*nowhere\.png, and there is no such file"),
    (
        label_no_class,
        r"masks/02\.png: holds label 37 in 48 pixels; .*, ignored is 255; add the class to data\.class_names",
    ),
]
