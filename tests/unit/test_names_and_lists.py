"""What people's folders and lists are called: read right, or refused with what helps."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from class_tasks import folder_task, paint
from mask_folders import load, options_of, parts, write

from trainables.images.loading import find_images

NAMES = ["000", "001", "002", "003", "004"]


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "data"
    for number, name in enumerate(NAMES):
        write(root, name, seed=number)
    return root


def lists(root, form, *, encoding="utf-8"):
    """Lists of the first three and of the last two, each name in this form."""
    for file, names in (("train.txt", NAMES[:3]), ("val.txt", NAMES[3:])):
        text = "".join(form.format(name, root=root) + "\r\n" for name in names)
        (root / file).write_bytes(text.encode(encoding))


def notes(root, **options):
    return "\n".join(find_images(options_of(root, **options), 0).notes)


def files_of(root, **options):
    """Image and mask of each sample, below the root."""
    found = find_images(options_of(root, **options), 0).parts
    return {
        part: [
            (file.relative_to(root).as_posix(), sample.target.relative_to(root).as_posix())
            for sample in map(reader.encoded, range(len(reader)))
            for file in sample.images
        ]
        for part, reader in found.items()
    }


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "{}.png  ",
        "images/{}.png",
        "./images/{}.png",
        "{root}/images/{}.png",
        "images\\{}.png",
        "masks/{}.png",
        '"{}.png"',
        "images/{0}.png masks/{0}.png",
        "images/{0}.png\tmasks/{0}.png",
        "{0},{0}",
        "images/{0}.png, masks/{0}.png",
        "{root}/images/{0}.png {root}/masks/{0}.png",
        "{}  # a good one",
        "{root}/images/{0}.png",
    ],
)
def test_a_line_is_a_name_or_a_path_with_or_without_its_mask(root, form, encoding):
    lists(root, form, encoding=encoding)
    assert files_of(root) == {
        "train": [(f"images/{name}.png", f"masks/{name}.png") for name in NAMES[:3]],
        "valid": [(f"images/{name}.png", f"masks/{name}.png") for name in NAMES[3:]],
    }
    assert notes(root) == ""


@pytest.mark.parametrize("form", ["/home/bob/streets/images/{}.png", "D:\\streets\\images\\{}.png"])
def test_paths_of_another_machine_are_read_below_the_root_and_said(root, form):
    lists(root, form)
    assert parts(root, progress=[].append) == (NAMES[:3], NAMES[3:])
    assert "train.txt: 3 names are paths below" in notes(root)
    with (root / "train.txt").open("a") as file:
        file.write("/home/eve/streets/images/003.png\n")
    with pytest.raises(ValueError, match=r"train\.txt:4: names /home/eve\S+, which points outside"):
        load(root)


def test_lists_name_masks_in_folders_of_any_name_and_a_header_is_none(tmp_path):
    for name in NAMES:
        write(tmp_path, name, images="JPG", masks="anno")
        (tmp_path / f"anno/{name}.png").rename(tmp_path / f"anno/{name}_label.png")
    lists(tmp_path, "JPG/{0}.png anno/{0}_label.png")
    (tmp_path / "train.txt").write_text("image,mask\n" + (tmp_path / "train.txt").read_text())
    assert files_of(tmp_path)["valid"] == [(f"JPG/{n}.png", f"anno/{n}_label.png") for n in NAMES[3:]]
    assert len(files_of(tmp_path)["train"]) == 3


def test_names_may_begin_with_a_hash_or_hold_blanks(tmp_path):
    for name in ("#1", "#2", "my image 3", "4"):
        write(tmp_path, name)
    (tmp_path / "train.txt").write_text("# the good ones\n#1\n#2\n")
    (tmp_path / "val.txt").write_text("# others\nmy image 3.png\nimages/4.png masks/4.png\n")
    assert parts(tmp_path) == (["#1", "#2"], ["4", "my image 3"])
    (tmp_path / "train.txt").write_text("#1\n#3\n")
    with pytest.raises(ValueError, match=r"names 2 files that do not exist: .*images/#3\.\*"):
        load(tmp_path)


def test_what_looks_alike_is_found_if_one_file_is_meant_and_said(tmp_path):
    for name in ("größe 1", "B", "c", "d"):
        write(tmp_path, unicodedata.normalize("NFD", name))
    (tmp_path / "train.txt").write_text("größe\xa01\nb\nC.PNG\n")
    (tmp_path / "val.txt").write_text("d.tif\n")
    found, said = files_of(tmp_path), notes(tmp_path)
    assert len(found["train"]) == 3
    assert "3 names are written otherwise" in said
    assert "such as größe\\xa01 for gro\\u0308ße 1" in said
    assert "1 names have another suffix than their files, such as d.tif for d" in said
    write(tmp_path, "b")
    write(tmp_path, "C", seed=1)
    (tmp_path / "train.txt").write_text("b\nB\n")
    assert sorted(name for name, _ in files_of(tmp_path)["train"]) == ["images/B.png", "images/b.png"]


def test_masks_that_differ_in_form_or_case_are_paired_and_said(root):
    for file in list((root / "masks").iterdir()):
        file.rename(file.with_name(f"É{file.name}"))
    for file in list((root / "images").iterdir()):
        file.rename(file.with_name(unicodedata.normalize("NFD", f"é{file.name}")))
    assert "5 masks are written otherwise than their images" in notes(root)
    assert all(Path(i).stem[-3:] == Path(m).stem[-3:] for i, m in files_of(root)["train"])


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("000 -1\n001 1\n", r"line 1, '000 -1', has no mask '-1': a line holds the name"),
        ("000\n0001\n", r"line 2, '0001': did you mean '001'\?"),
        ("000\n0\u200b1x\n", r"images/0\\u200b1x\.\*"),
        ("# nothing\n", r"train\.txt: is empty; a line holds the name of an image"),
        ("images/003.png\n", r"share 1 names, such as 003"),
        ("images/000.png masks/000.png\n000 masks/001.png\n", r"train\.txt:2: names .* with another mask"),
    ],
)
def test_a_wrong_line_is_told_what_helps(root, train, message):
    (root / "train.txt").write_text(train)
    (root / "val.txt").write_text("003\n")
    with pytest.raises(ValueError, match=message):
        load(root)


def test_a_name_without_a_mask_and_one_that_is_listed_twice(root):
    (root / "train.txt").write_text("000\nimages/000.png\n001\n")
    (root / "val.txt").write_text("003\n")
    assert "names 1 images more than once, such as images/000.png; each is used once" in notes(root)
    (root / "masks/001.png").unlink()
    with pytest.raises(ValueError, match=r"line 3, '001', lacks its mask: add it, or remove the line"):
        load(root)


# Pairs


def rename(folder, form):
    for file in list(folder.iterdir()):
        file.rename(file.with_name(form.format(file.stem) + file.suffix))


def test_prefixes_and_suffixes_that_pair_all_are_found_and_said(root):
    rename(root / "images", "img_{}")
    rename(root / "masks", "mask_{}_seg")
    pairs = [pair for part in files_of(root).values() for pair in part]
    assert sorted(pairs) == [(f"images/img_{n}.png", f"masks/mask_{n}_seg.png") for n in NAMES]
    assert 'image_prefix: "img_", mask_prefix: "mask_", mask_suffix: "_seg"' in notes(root)
    set_so = {"image_prefix": "img_", "mask_prefix": "mask_", "mask_suffix": "_seg"}
    assert files_of(root, **set_so) == files_of(root)


@pytest.mark.parametrize(
    ("image", "mask", "said"),
    [
        ("{}", "{:03}", "5 masks are written otherwise than their images, in zeros before their numbers"),
        ("{:03}", "{}", "such as 0 for 000"),
        ("{}", "{:02}_mask", 'mask_suffix: "_mask"'),
        ("img_{}", "mask_{:04}", 'image_prefix: "img_", mask_prefix: "mask_"'),
        ("x1_y{}", "x01_y{:02}", "such as x01_y00 for x1_y0"),
    ],
)
def test_numbers_with_other_zeros_are_paired_by_number_and_said(root, image, mask, said):
    for number, name in enumerate(NAMES):
        (root / f"images/{name}.png").rename(root / f"images/{image.format(number)}.jpg")
        (root / f"masks/{name}.png").rename(root / f"masks/{mask.format(number)}.png")
    pairs = [pair for part in files_of(root).values() for pair in part]
    assert sorted(pairs) == [
        (f"images/{image.format(number)}.jpg", f"masks/{mask.format(number)}.png") for number in range(5)
    ]
    assert said in notes(root)


@pytest.mark.parametrize("form", ["{:02}", "mask_{:02}"])
def test_numbers_that_begin_elsewhere_are_not_paired(root, form):
    for number, name in enumerate(NAMES):
        (root / f"images/{name}.png").rename(root / f"images/{number + 1}.jpg")
        (root / f"masks/{name}.png").rename(root / f"masks/{form.format(number)}.png")
    by_number = "By number, 4 of 5 images and 5 masks belong together, which counts only if all do. Names"
    orphans = r"images without a mask: \S+1\.jpg.* masks without an image: \S+00\."
    with pytest.raises(ValueError, match=orphans) as refused:
        load(root, max_skipped=9, progress=[].append)
    assert (by_number in str(refused.value)) == (form == "{:02}")


def test_numbers_that_two_names_share_are_not_paired(root):
    for number, name in enumerate(NAMES):
        (root / f"images/{name}.png").rename(root / f"images/{number}.png")
    (root / "images/4.png").rename(root / "images/03.png")
    with pytest.raises(ValueError, match="images without a mask"):
        load(root)


def test_a_rule_that_pairs_nearly_all_is_proposed_and_works_as_printed(root):
    rename(root / "images", "img_{}")
    rename(root / "masks", "mask_{}")
    (root / "masks/mask_002.png").unlink()
    with pytest.raises(
        ValueError, match=r'add image_prefix: "img_", mask_prefix: "mask_" to data, with which 4'
    ):
        load(root)
    with pytest.raises(ValueError, match=r"images without a mask: \S+img_002\.png\. Names must agree"):
        load(root, image_prefix="img_", mask_prefix="mask_")
    assert load(root, image_prefix="img_", mask_prefix="mask_", max_skipped=1, progress=[].append)


def test_pairs_that_no_rule_gives_are_listed_in_two_columns(root):
    for number, name in enumerate(NAMES):
        (root / f"masks/{name}.png").rename(root / f"masks/{'wxyzq'[number]}{number * 37 % 11}.png")
    with pytest.raises(
        ValueError, match=r"put the pairs into train\.txt and val\.txt, an image and its mask"
    ):
        load(root)


def test_images_and_masks_in_one_folder(tmp_path):
    for name in NAMES:
        write(tmp_path, name)
        (tmp_path / f"masks/{name}.png").rename(tmp_path / f"images/{name}_m.png")
    one = {"images_folder": "images", "masks_folder": "images"}
    with pytest.raises(ValueError, match=r'as mask_suffix: "_m" \(5 of 10 names end so\)'):
        load(tmp_path, **one)
    assert sum(map(len, parts(tmp_path, **one, mask_suffix="_m")), 0) == 5


# Folders


@pytest.mark.parametrize(
    ("images", "masks", "valid"),
    [
        ("{}/Images", "{}/Labels", ("Train", "Val")),
        ("Images/{}", "MASKS/{}", ("TRAIN", "Validation")),
        ("{}/imgs", "{}/annotations", ("training", "valid")),
    ],
)
def test_folders_are_found_in_any_case(tmp_path, images, masks, valid):
    for part, names in zip(valid, ("ab", "c"), strict=True):
        for name in names:
            write(tmp_path, name, images=images.format(part), masks=masks.format(part))
    assert parts(tmp_path) == (["a", "b"], ["c"])


def test_without_a_folder_of_validation_it_is_taken_from_training_and_said(tmp_path):
    for name in "abcde":
        write(tmp_path, name, images="train/images", masks="train/masks")
    write(tmp_path, "t", images="test/images", masks="test/masks")
    train, valid = parts(tmp_path, progress=[].append)
    assert sorted(train + valid) == list("abcde")
    assert "20% of" in notes(tmp_path)
    paint(tmp_path / "classes/Train", {"a": 5, "b": 5})
    paint(tmp_path / "classes/test", {"a": 5})
    assert len(folder_task(tmp_path / "classes").valid_data()) == 2


def test_files_of_the_system_are_no_samples_and_images_among_them_are_named(root):
    for name in ("._000.png", ".DS_Store", "Thumbs.db", "desktop.ini", "@eaDir/000.png/THUMB.jpg"):
        file = root / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    (root / "masks/.ipynb_checkpoints").mkdir()
    assert sum(map(len, files_of(root).values())) == 5
    assert notes(root).endswith("made by the system: images/._000.png, images/@eaDir")
    paint(root / "classes", {"a": 3, "b": 3, "__MACOSX": 1})
    assert folder_task(root / "classes").class_names == ("a", "b")


def test_classes_that_differ_in_form_or_case_are_one_class(tmp_path):
    paint(tmp_path / "train", {"café": 2, "Dog": 2})
    paint(tmp_path / "val", {unicodedata.normalize("NFD", "café"): 1, "dog": 1})
    task = folder_task(tmp_path)
    assert task.class_names == ("Dog", "café")
    assert len(task.valid_data()) == 2


# Links


@pytest.mark.parametrize("whole", [True, False], ids=["folders", "files"])
def test_links_out_of_the_root_are_followed_where_that_is_set(root, tmp_path, whole):
    linked = tmp_path / "linked"
    for kind in ("images", "masks"):
        (linked / kind).parent.mkdir(exist_ok=True)
        if whole:
            (linked / kind).symlink_to(root / kind)
            continue
        (linked / kind).mkdir()
        for file in (root / kind).iterdir():
            (linked / kind / file.name).symlink_to(file)
    with pytest.raises(ValueError, match=r"outside of data\.root \S+; set data\.follow_links: true"):
        load(linked)
    assert sum(map(len, parts(linked, follow_links=True)), 0) == 5


def test_contents_that_were_not_fetched_are_named_with_the_command(root):
    file = root / "images/001.png"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(ValueError, match=r"001\.png: holds the place of contents .*; run: git lfs pull"):
        load(root)
    file.unlink()
    file.symlink_to("../../.git/annex/objects/x/y/SHA256E-s1--0.png")
    with pytest.raises(
        ValueError, match=r"001\.png: is a link of git-annex .* run: git annex get \S*001\.png"
    ):
        load(root)


def test_class_names_may_be_numbered(root):
    (root / "classes.txt").write_bytes(b"\xef\xbb\xbf0: road\r\n1: my car\r\n2: sky\r\n")
    assert list(load(root)["class_names"]) == ["road", "my car", "sky"]
