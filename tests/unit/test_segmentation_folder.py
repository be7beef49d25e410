import os
import struct
import zlib
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from mask_folders import load, loaded, names, samples, write
from PIL import Image

from trainables.images.decode import read_image


@pytest.fixture
def root(tmp_path):
    for number in range(5):
        write(tmp_path, f"{number:02}", seed=number)
    return tmp_path


def parts(root, **options):
    """Names of the training and of the validation images."""
    arrays = load(root, max_memory=0, **options)
    return names(arrays, "train"), names(arrays, "valid")


def test_arrays_are_the_files(tmp_path):
    written = {
        part: [
            write(tmp_path, f"a/{part}{n}", n, images=f"images/{part}", masks=f"masks/{part}") for n in (1, 2)
        ]
        for part in ("train", "val")
    }
    arrays = load(tmp_path)
    for part, name in (("train", "train"), ("val", "valid")):
        np.testing.assert_array_equal(arrays[f"{name}_inputs"], [image for image, _ in written[part]])
        np.testing.assert_array_equal(arrays[f"{name}_targets"], [mask for _, mask in written[part]])
    assert list(arrays["class_names"]) == ["0", "1", "2"]
    pixels = arrays["train_inputs"].reshape(-1, 3) / 255.0
    np.testing.assert_allclose(arrays["mean"], pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(arrays["std"], pixels.std(0), rtol=1e-5)
    np.testing.assert_array_equal(arrays["class_counts"], np.bincount(arrays["train_targets"].ravel()))


@pytest.mark.parametrize(
    ("images", "masks"),
    [("{}/images", "{}/masks"), ("images/{}", "masks/{}"), ("{}", "{}annot")],
    ids=["split/images", "images/split", "camvid"],
)
@pytest.mark.parametrize("valid", ["val", "valid"])
def test_split_folders(tmp_path, images, masks, valid):
    for name, part in (("a", "train"), ("b", "train"), ("c", valid)):
        write(tmp_path, name, images=images.format(part), masks=masks.format(part))
    assert parts(tmp_path) == (["a", "b"], ["c"])


def test_split_lists_as_in_pascal_voc(tmp_path):
    for name in "abcd":
        write(tmp_path, name, images="JPEGImages", masks="SegmentationClass")
    (tmp_path / "JPEGImages" / "unlabelled.png").write_bytes((tmp_path / "JPEGImages/a.png").read_bytes())
    (tmp_path / "Sets").mkdir()
    (tmp_path / "Sets/train.txt").write_text("b\na.png\n\n")
    (tmp_path / "Sets/val.txt").write_text("d\n")
    folders = {"images_folder": "JPEGImages", "masks_folder": "SegmentationClass"}
    assert parts(tmp_path, **folders, train_list="Sets/train.txt", valid_list="Sets/val.txt") == (
        ["a", "b"],
        ["d"],
    )


def test_default_split_lists_are_found(root):
    (root / "train.txt").write_text("00\n01\n")
    (root / "val.txt").write_text("04\n")
    assert parts(root) == (["00", "01"], ["04"])


@pytest.mark.parametrize(
    ("train", "valid", "message"),
    [
        ("00\n01\n", "01\n", r"share 1 names, as 01"),
        ("00\nnope\n", "01\n", r"train\.txt: names 2 files that are not there: .*nope"),
        ("00\n../secret\n", "01\n", r"train\.txt: names \.\./secret, which leads out of the folder"),
        ("00\nx/../../secret\n", "01\n", r"names x/\.\./\.\./secret, which leads out"),
        ("00\n/etc/passwd\n", "01\n", r"train\.txt: names /etc/passwd, which leads out of the folder"),
        ("\n", "01\n", r"train\.txt: is empty"),
        ("00\n", None, r"val\.txt: is not there"),
    ],
)
def test_wrong_split_lists_are_errors(root, train, valid, message):
    (root / "train.txt").write_text(train)
    if valid is not None:
        (root / "val.txt").write_text(valid)
    with pytest.raises(ValueError, match=message):
        load(root)


def test_split_by_hash_is_the_same_wherever_the_folder_lies(tmp_path):
    for place in ("here", "there"):
        for number in range(20):
            write(tmp_path / place, f"{number:02}")
    train, valid = parts(tmp_path / "here")
    assert (len(train), len(valid)) == (16, 4)
    assert sorted(train + valid) == [f"{number:02}" for number in range(20)]
    assert parts(tmp_path / "there") == (train, valid)
    assert parts(tmp_path / "here", split_seed=1) != (train, valid)
    assert len(parts(tmp_path / "here", valid_fraction=0.01)[1]) == 1


def test_different_sizes_lie_one_after_another(tmp_path):
    written = [write(tmp_path, f"{n}", n, size=(4 + n, 9 - n)) for n in range(4)]
    arrays = load(tmp_path)
    read = [samples(arrays, part) for part in ("train", "valid")]
    together = [pair for each in read for pair in zip(*each.read(np.arange(len(each.shapes))), strict=True)]
    assert len(together) == 4
    for image, mask in together:
        expected = next(pair for pair in written if pair[1].shape == mask.shape)
        np.testing.assert_array_equal(image, expected[0])
        np.testing.assert_array_equal(mask, expected[1])


@pytest.mark.parametrize(
    "sizes", [[(6, 8)] * 4, [(4, 9), (5, 8), (6, 7), (7, 6)]], ids=["equal", "different"]
)
def test_files_left_on_disk_give_the_same_samples_and_statistics(tmp_path, sizes):
    for number, size in enumerate(sizes):
        write(tmp_path, f"{number}", number, size=size)
    memory, disk = load(tmp_path), load(tmp_path, max_memory=10)
    assert "train_inputs" not in disk
    for name in ("mean", "std", "class_counts", "class_names"):
        np.testing.assert_array_equal(memory[name], disk[name])
    for part in ("train", "valid"):
        first, second = samples(memory, part), samples(disk, part)
        np.testing.assert_array_equal(first.shapes, second.shapes)
        everything = np.arange(len(first.shapes))
        for ours, theirs in zip(first.read(everything), second.read(everything), strict=True):
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(one, other)


def test_a_mask_that_changed_on_disk_is_refused_before_it_is_used(root):
    arrays = load(root, max_memory=0)
    Image.fromarray(np.full((6, 8), 9, np.uint8)).save(arrays["train_file_targets"][0])
    with pytest.raises(ValueError, match=r"holds label 9 in 48 pixels; classes are 0 to 2, ignored is 255"):
        samples(arrays, "train").read(np.array([0]))


def test_palette_masks_are_read_by_index(root):
    mask = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) % 3, mode="L").convert("P")
    mask.putpalette([255, 0, 0, 255, 0, 0, 7, 7, 7])
    mask.save(root / "masks/00.png")
    assert Image.open(root / "masks/00.png").mode == "P"
    arrays = load(root, max_memory=0)
    part = "train" if "00" in names(arrays, "train") else "valid"
    _, masks = samples(arrays, part).read(np.array([names(arrays, part).index("00")]))
    np.testing.assert_array_equal(masks[0], np.arange(48).reshape(6, 8) % 3)


def stored_mask(root):
    """Labels of the mask of 00 as they were loaded."""
    arrays = load(root, max_memory=0)
    part = "train" if "00" in names(arrays, "train") else "valid"
    return samples(arrays, part).read(np.array([names(arrays, part).index("00")]))[1][0]


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def insert_chunks(file, chunks):
    """After the header of a PNG."""
    whole = file.read_bytes()
    file.write_bytes(whole[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + whole[33:])


def grey_png(bits, rows):
    """A grey PNG of 2 or 4 bits a pixel, which Pillow reads but does not write."""
    height, width = rows.shape
    packed = b""
    for row in rows:
        digits = "".join(format(value, f"0{bits}b") for value in row)
        packed += b"\0" + int(digits, 2).to_bytes(len(digits) // 8, "big")
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(packed))
        + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("bits", [2, 4])
def test_masks_of_few_bits_keep_their_labels(root, bits):
    labels = np.arange(48, dtype=np.uint8).reshape(6, 8) % 3
    (root / "masks/00.png").write_bytes(grey_png(bits, labels))
    np.testing.assert_array_equal(stored_mask(root), labels)


def test_masks_of_16_bits_are_read_and_refused_above_255(root):
    labels = np.arange(48, dtype=np.uint16).reshape(6, 8) % 3
    Image.fromarray(labels).save(root / "masks/00.png")
    np.testing.assert_array_equal(stored_mask(root), labels)
    Image.fromarray(labels * 200).save(root / "masks/00.png")
    with pytest.raises(ValueError, match=r"00\.png: holds label 400 in 16 pixels; labels must be"):
        load(root)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_mode_are_converted(root, mode, channels):
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(grey).convert(mode)
    (root / "images/00.png").unlink()
    suffix = "jpg" if mode == "CMYK" else "png"
    picture.save(root / f"images/00.{suffix}")
    arrays = load(root, channels=channels)
    together = np.concatenate([arrays["train_inputs"], arrays["valid_inputs"]])
    assert together.shape == (5, 6, 8, channels)
    if mode not in ("1", "CMYK"):
        assert any((image == grey[..., None]).all() for image in together)


@pytest.mark.parametrize("kind", ["jpg", "png", "png, after the pixels"])
def test_images_are_turned_upright_as_their_exif_says(tmp_path, kind):
    for number in range(2):
        write(tmp_path, f"{number}", number, size=(8, 6))
    tags = Image.Exif()
    tags[0x0112] = 6
    sideways = Image.fromarray(np.zeros((6, 8, 3), np.uint8))
    (tmp_path / "images/0.png").unlink()
    file = tmp_path / f"images/0.{kind[:3]}"
    if kind == "png, after the pixels":
        sideways.save(file)
        whole = file.read_bytes()
        file.write_bytes(whole[:-12] + png_chunk(b"eXIf", tags.tobytes()[6:]) + whole[-12:])
    else:
        sideways.save(file, exif=tags)
    arrays = load(tmp_path)
    assert arrays["train_inputs"].shape == arrays["valid_inputs"].shape == (1, 8, 6, 3)


def test_binary_masks_saved_as_0_and_255_are_explained_and_mapped(tmp_path):
    masks = [write(tmp_path, f"{n}", n, labels=(0, 255))[1] for n in range(4)]
    with pytest.raises(
        ValueError, match=r"masks hold only 0 and the ignored label; .*mask_values: \{255: 1\}"
    ):
        load(tmp_path)
    arrays = load(tmp_path, mask_values={255: 1})
    assert len(arrays["class_names"]) == 2
    assert arrays["train_targets"].sum() + arrays["valid_targets"].sum() == sum(
        (mask > 0).sum() for mask in masks
    )


def test_255_is_an_error_where_another_label_is_ignored(tmp_path):
    for number in range(2):
        write(tmp_path, f"{number}", number, labels=(0, 1, 255))
    with pytest.raises(
        ValueError,
        match=r"label 255 in \d+ pixels; .*, ignored is 0; set data\.ignore_index",
    ):
        load(tmp_path, ignore_index=0)


def test_ignored_labels_become_255_whatever_they_are_in_the_files(tmp_path):
    masks = np.stack([write(tmp_path, f"{n}", n, labels=(0, 1, 2))[1] for n in range(2)])
    arrays = load(tmp_path, ignore_index=0, mask_values={1: 0, 2: 1})
    together = np.concatenate([arrays["train_targets"], arrays["valid_targets"]])
    assert {value: int((together == value).sum()) for value in (255, 1)} == {
        255: int((masks < 2).sum()),
        1: int((masks == 2).sum()),
    }


def test_label_beyond_the_classes_names_the_file(root):
    write(root, "03", labels=(0, 7))
    with pytest.raises(ValueError, match=r"masks/03\.png: holds label 7 in \d+ pixels; classes are 0 to 2"):
        load(root, num_classes=3)
    assert len(load(root)["class_names"]) == 8


def test_class_names_are_given_or_in_a_file_and_must_agree(root):
    (root / "classes.txt").write_text("road\ncar\nsky\n")
    assert list(load(root)["class_names"]) == ["road", "car", "sky"]
    assert list(load(root, class_names=("a", "b", "c"))["class_names"]) == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"has 3 names and data\.num_classes is 4"):
        load(root, num_classes=4)
    with pytest.raises(ValueError, match="names a class twice"):
        load(root, class_names=("a", "b", "a"))


def test_mask_suffix_pairs_car_with_car_mask(tmp_path):
    for name in ("car", "bus"):
        write(tmp_path, name)
        (tmp_path / f"masks/{name}.png").rename(tmp_path / f"masks/{name}_mask.png")
    assert sorted(chain(*parts(tmp_path, mask_suffix="_mask"))) == ["bus", "car"]
    with pytest.raises(ValueError, match=r"images without a mask: .*bus\.png.*data\.mask_suffix \(now ''\)"):
        load(tmp_path)


def test_hidden_and_other_files_are_left_out(root):
    (root / "images/.DS_Store").write_bytes(b"x")
    (root / "images/notes.md").write_text("x")
    assert len(list(chain(*parts(root)))) == 5


def orphan_image(root):
    (root / "masks/02.png").unlink()


def orphan_mask(root):
    (root / "images/02.png").unlink()


def other_size(root):
    Image.new("L", (7, 6)).save(root / "masks/02.png")


def colour_mask(root):
    Image.new("RGB", (8, 6)).save(root / "masks/02.png")


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
    insert_chunks(root / "images/02.png", [(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 2**24))])


def many_texts(root):
    """Each of a megabyte, which is allowed; together they are not."""
    text = b"Comment\0\0" + zlib.compress(b"x" * (2**20 - 100))
    insert_chunks(root / "images/02.png", [(b"zTXt", text)] * 70)


def profile_bomb(root):
    insert_chunks(root / "images/02.png", [(b"iCCP", b"icc\0\0" + zlib.compress(b"x" * 2**24))])


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


def classes_in_utf_16(root):
    (root / "classes.txt").write_bytes("road\ncar\nsky\n".encode("utf-16"))


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
    os.rename(root / "masks", root / "labels")


WRONG_SAMPLES = [
    (orphan_image, r"images without a mask: \S*images/02\.png"),
    (orphan_mask, r"masks without an image: \S*masks/02\.png"),
    (other_size, r"masks/02\.png: is 7x6, its image \S*images/02\.png 8x6; sizes must agree"),
    (colour_mask, r"masks/02\.png: has 3 channels \(RGB\); .* palette PNG"),
    (jpeg_mask, r"masks/02\.jpg: is a JPEG; masks must be PNG"),
    (jpeg_mask_called_png, r"masks/02\.png: is a JPEG; masks must be PNG"),
    (text_called_png, r"images/02\.png: is neither PNG nor JPEG"),
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
    (named_pipe, r"images/02\.png: is no regular file"),
    (dangling_link, r"images/02\.png: there is no such file"),
    (
        label_no_class,
        r"masks/02\.png: holds label 37 in 48 pixels; .*, ignored is 255; raise data\.num_",
    ),
]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("max_memory", [2**30, 0], ids=["memory", "disk"])
@pytest.mark.parametrize(
    ("spoil", "message"), WRONG_SAMPLES, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_wrong_sample_is_an_error_that_names_the_file(root, spoil, message, max_memory):
    spoil(root)
    with pytest.raises(ValueError, match=message):
        load(root, num_classes=3, max_memory=max_memory)


@pytest.mark.parametrize("max_skipped", [0, 5], ids=["raise", "skip"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (two_of_a_name, r"images/02\.png: has the same name as 02\.jpg"),
        (other_format, r"images/02\.bmp: is \.bmp; images must be PNG or JPEG"),
        (link_out, r"images/02\.png: leads to \S*-outside\.png, outside of data\.root"),
        (linked_list_out, r"train\.txt: leads to \S*-outside\.txt, outside of data\.root"),
        (linked_classes_out, r"classes\.txt: leads to \S*-outside\.txt, outside of data\.root"),
        (classes_in_utf_16, r"classes\.txt: is not UTF-8 text"),
        (too_many_classes, r"classes\.txt has 256 names; there must be 2 to 255 classes"),
        (linked_folder_out, r"images: leads to \S*-outside, outside of data\.root"),
        (linked_loop, r"images/again: leads to a folder that was read already"),
        (no_images, r"images: holds no PNG or JPEG image"),
        (no_masks_folder, r"holds images, labels; expected images/ and masks/"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_folder_is_an_error_whatever_may_be_skipped(root, spoil, message, max_skipped):
    spoil(root)
    with pytest.raises(ValueError, match=message):
        load(root, max_skipped=max_skipped)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_damaged_bytes_are_an_error_that_names_the_file_or_still_an_image(tmp_path, suffix):
    """Whatever Pillow makes of them; checksums are made right again, so that its decoders see the damage."""
    rng = np.random.default_rng(0)
    file = tmp_path / f"a.{suffix}"
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).save(file, exif=tags)
    original, refused = file.read_bytes(), []
    for _ in range(200):
        damaged = bytearray(original)
        for place in rng.integers(0, len(damaged), rng.integers(1, 6)):
            damaged[place : place + rng.integers(0, 3)] = rng.bytes(rng.integers(0, 4))
        file.write_bytes(with_checksums(bytes(damaged)))
        try:
            assert read_image(file, 3).dtype == np.uint8
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 50
    assert all(message.startswith(f"{file}: ") for message in refused)


def with_checksums(png):
    """The bytes with the sum of every PNG chunk made right."""
    parts, at = [png[:8]], 8
    while png.startswith(b"\x89PNG") and at + 12 <= len(png):
        length = struct.unpack(">I", png[at : at + 4])[0]
        parts.append(png_chunk(png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    return b"".join([*parts, png[at:]])


WHERE_02_IS = {"train": ["00", "01", "02", "03"], "val": ["04", "05"]}


@pytest.fixture
def listed(tmp_path):
    """Six samples with lists of names; 02 is the third one trained on."""
    for number in range(6):
        write(tmp_path, f"{number:02}", seed=number)
    for part, of_part in WHERE_02_IS.items():
        (tmp_path / f"{part}.txt").write_text("\n".join(of_part))
    return tmp_path


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("max_memory", [2**30, 0], ids=["memory", "disk"])
@pytest.mark.parametrize("spoil", [spoil for spoil, _ in WRONG_SAMPLES])
def test_a_skipped_sample_keeps_its_place_without_pixels_and_the_others_are_as_before(
    listed, spoil, max_memory
):
    whole, said = load(listed, num_classes=3), []
    spoil(listed)
    arrays = load(listed, num_classes=3, max_memory=max_memory, max_skipped=1, progress=said.append)
    found = samples(arrays, "train", limit=1)
    np.testing.assert_array_equal(found.shapes, [(6, 8), (6, 8), (0, 0), (6, 8)])
    images, masks = found.read(np.arange(4))
    assert (images[2].shape, masks[2].shape) == ((0, 0, 3), (0, 0))
    kept = [0, 1, 3]
    np.testing.assert_array_equal([images[index] for index in kept], whole["train_inputs"][kept])
    np.testing.assert_array_equal([masks[index] for index in kept], whole["train_targets"][kept])
    pixels = whole["train_inputs"][kept].reshape(-1, 3) / 255.0
    np.testing.assert_allclose(arrays["mean"], pixels.mean(0), rtol=1e-5)
    np.testing.assert_array_equal(arrays["class_counts"], np.bincount(whole["train_targets"][kept].ravel()))
    (line,) = said
    assert line.startswith("1 of 6 samples are skipped: ")
    assert "/02." in line
    assert "\n" not in line


def test_more_than_may_be_skipped_are_listed(root):
    (root / "images/00.png").write_text("no image")
    label_no_class(root)
    with pytest.raises(
        ValueError, match=r"2 of 5 samples are wrong, and data\.max_skipped is 1:\n"
    ) as caught:
        load(root, num_classes=3, max_skipped=1)
    assert "images/00.png: is neither" in str(caught.value)
    assert "masks/02.png: holds label 37" in str(caught.value)
    load(root, num_classes=3, max_skipped=2)


def test_the_line_about_skipped_samples_has_the_first_of_many(root, capsys):
    for number in range(4):
        (root / f"images/{number:02}.png").write_text("no image")
    write(root, "05")
    write(root, "06")
    load(root, max_skipped=10, valid_fraction=0.3)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("4 of 7 samples are skipped: ")
    assert line.endswith("; and 1 more")
    assert line.count(".png: is neither") == 3


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_lost_file_changes_no_split_and_no_order_where_it_may_be_skipped(tmp_path, kind):
    for number in range(10):
        write(tmp_path, f"{number:02}", number)
    before = parts(tmp_path)
    (tmp_path / f"{kind}/04.png").unlink()
    arrays = load(tmp_path, max_memory=0, max_skipped=1, progress=[].append)
    assert (names(arrays, "train"), names(arrays, "valid")) == before


def test_a_part_of_which_all_is_skipped_is_an_error(tmp_path):
    for part in ("train", "val"):
        write(tmp_path, "a", images=f"{part}/images", masks=f"{part}/masks")
    (tmp_path / "val/images/a.png").write_text("no image")
    with pytest.raises(ValueError, match="every pixel of the valid masks is ignored"):
        load(tmp_path, max_skipped=1, progress=[].append)


def test_a_mask_that_no_image_can_have_is_an_error_also_where_orphans_may_be_skipped(tmp_path):
    for name in ("car", "bus"):
        write(tmp_path, name)
        (tmp_path / f"masks/{name}.png").rename(tmp_path / f"masks/{name}_mask.png")
    Image.new("L", (8, 6)).save(tmp_path / "masks/car.png")
    with pytest.raises(ValueError, match=r"masks without an image: \S*masks/car\.png"):
        load(tmp_path, mask_suffix="_mask", max_skipped=5)


def shrink(file):
    Image.new("RGB", (3, 3)).save(file)


def cut_short(file):
    file.write_bytes(file.read_bytes()[:60])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "there is no such file"),
        (cut_short, "cannot be decoded, it may be cut short"),
        (shrink, "sizes must agree"),
    ],
)
def test_a_file_that_breaks_after_loading_is_an_error_or_skipped_each_time(root, spoil, reason):
    arrays = load(root, max_memory=0)
    broken = Path(arrays["train_image_files"][1, 0])
    spoil(broken)
    with pytest.raises(ValueError, match=rf"{broken.name}.*{reason}"):
        samples(arrays, "train").read(np.arange(3))
    lenient = samples(arrays, "train", limit=1)
    for _ in range(2):
        images, masks = lenient.read(np.array([1, 0, 1]))
        assert [mask.shape for mask in masks] == [(0, 0), (6, 8), (0, 0)]
        assert [image.shape for image in images] == [(0, 0, 3), (6, 8, 3), (0, 0, 3)]


def test_both_files_of_another_size_than_before_are_an_error(root):
    arrays = load(root, max_memory=0)
    name = Path(arrays["train_image_files"][0, 0]).stem
    write(root, name, size=(5, 5))
    with pytest.raises(ValueError, match=rf"images/{name}\.png: is now 5x5 and was 8x6; it changed"):
        samples(arrays, "train").read(np.array([0]))


def test_files_that_break_after_loading_count_together_with_those_before(listed):
    label_no_class(listed)
    arrays = load(listed, num_classes=3, max_memory=0, max_skipped=2, progress=[].append)
    images = loaded(arrays, limit=2)
    train, valid = (images.samples(part) for part in ("train", "valid"))
    (listed / "images/00.png").unlink()
    train.read(np.arange(4))
    (listed / "images/05.png").unlink()
    for _ in range(2):
        with pytest.raises(
            ValueError,
            match=r"images/05\.png: there is no .*; 3 samples are wrong and data\.max_skipped is 2",
        ):
            valid.read(np.arange(2))


def test_several_wrong_files_are_reported_together(root):
    for name in ("00", "02", "04"):
        (root / f"images/{name}.png").write_text("no image")
    for name in ("01", "03"):
        Image.new("L", (7, 6)).save(root / f"masks/{name}.png")
    with pytest.raises(ValueError, match="samples are wrong") as caught:
        load(root)
    for name in ("images/00.png", "masks/01.png", "images/02.png", "masks/03.png", "images/04.png"):
        assert f"{name}: is" in str(caught.value)


def test_masks_without_a_labelled_pixel_are_an_error(tmp_path):
    for part, labels in (("train", (0, 1)), ("val", (255,))):
        write(tmp_path, "a", labels=labels, images=f"{part}/images", masks=f"{part}/masks")
    with pytest.raises(ValueError, match="every pixel of the valid masks is ignored"):
        load(tmp_path)


def test_missing_root_is_an_error_with_its_path(tmp_path):
    with pytest.raises(ValueError, match=r"data\.root is \S*nowhere; it must be a folder"):
        load(tmp_path / "nowhere")


def test_nothing_is_said_while_loading_is_quick(root, capsys):
    said = []
    load(root, progress=said.append)
    assert said == []
    assert capsys.readouterr().err == ""
