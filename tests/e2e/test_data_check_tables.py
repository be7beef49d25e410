"""`check --data` on tables: every kind of mistake by its line and column, with the option that reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from broken_folder import messages, named
from in_process import search_locally

import search
from search.commands.check_data import DataCheck
from search.run.reporter import ProgressReporter
from search.screen.texts.data import data_check_text


def check(task: str, data: dict[str, Any], model: str) -> DataCheck:
    metric = {"classification": "accuracy", "segmentation": "miou", "regression": "rmse"}[task]
    return search.check_data(
        {
            "name": task,
            "task": task,
            "objective": {"metric": metric, "mode": "min" if task == "regression" else "max"},
            "trial": {"data": data, "model": {"name": model}},
            "virtual_epoch": {"epochs": 1},
            "budget": {"trials": 1, "max_virtual_epochs": 1},
        }
    )


def write_table(file: Path, rows: list[str], header: str = "age,height,town,kind") -> None:
    file.write_text("\n".join([header, *rows]) + "\n")


def intact_rows(count: int) -> list[str]:
    return [f"{20 + n},{1.5 + n / 100:.2f},{'Ulm' if n % 3 else 'Kiel'},{n % 2}" for n in range(count)]


def test_rows_with_missing_infinite_and_wrong_cells_and_duplicate_rows_are_found_by_their_line(
    tmp_path: Path,
) -> None:
    rows = intact_rows(20)
    rows[3] = ",nan,Ulm,1"
    rows[4] = "inf,1.54,Ulm,0"
    rows[5] = "old,1.55,Ulm,1"
    rows[6] = "26,1.56,Kiel,"
    write_table(tmp_path / "train.csv", rows)
    write_table(tmp_path / "valid.csv", [rows[0], "99,1.99,Bonn,1", "98,1.98,Bonn,7"])
    data = {
        "source": "csv",
        "path": str(tmp_path / "train.csv"),
        "valid_path": str(tmp_path / "valid.csv"),
        "target": "kind",
    }
    found = check("classification", data, "mlp")
    assert named(found, "row with missing numbers") == {"train.csv:5"}
    assert named(found, "no finite number") == {"train.csv:6", "train.csv:7"}
    assert named(found, "row without a target") == {"train.csv:8"}
    assert named(found, "data leakage") == {"valid.csv:2"}
    assert named(found, "class not in training") == {"valid.csv:4"}
    assert {"age, height", "age is 'inf'", "age is 'old'"} <= set(messages(found))
    assert "the same cells besides the target as train.csv:2" in messages(found)
    assert [(row.name, row.counts) for row in found.classes] == [
        ("0", {"train": 9, "valid": 1}),
        ("1", {"train": 10, "valid": 1}),
    ]
    assert "train.csv:6: age is 'inf'" in data_check_text(found, width=120)


def test_the_target_of_a_regression_must_be_a_finite_number(tmp_path: Path) -> None:
    rows = intact_rows(10)
    rows[2] = "22,1.52,Ulm,many"
    write_table(tmp_path / "people.csv", rows)
    data = {"source": "csv", "path": str(tmp_path / "people.csv"), "target": "kind"}
    found = check("regression", data, "mlp")
    assert named(found, "no finite number") == {"people.csv:4"}
    assert messages(found) == ["kind is 'many'"]
    assert list(found.classes) == []


def test_columns_that_cannot_be_used_and_rows_that_are_left_out_are_found(tmp_path: Path) -> None:
    rows = [f'{n},"1,{50 + n}",Ulm,{n % 2}' for n in range(20)]
    rows[6] = '6,"1,7",Ulm,NA'
    write_table(tmp_path / "people.csv", rows)
    data = {"source": "csv", "path": str(tmp_path / "people.csv"), "target": "kind"}
    found = check("classification", data | {"missing_targets": "drop"}, "mlp")
    (column,) = found.errors
    assert column.kind.name == "column that cannot be used"
    assert "column 'height'" in column.message
    assert 'data.decimal: ","' in column.message
    assert [finding.where for finding in found.warnings] == [str(tmp_path / "people.csv:8")]
    read = check("classification", data | {"missing_targets": "drop", "decimal": ","}, "mlp")
    assert list(read.errors) == []
    assert [row.counts["train"] + row.counts["valid"] for row in read.classes] == [9, 10]


def test_all_rows_without_a_class_are_listed_with_the_option_that_leaves_them_out(tmp_path: Path) -> None:
    rows = [f"{20 + n % 9},{n / 3},{'NA' if n % 5 == 0 else 'ab'[n % 2]}" for n in range(20)]
    write_table(tmp_path / "t.csv", rows, "age,height,kind")
    data = {"source": "csv", "path": str(tmp_path / "t.csv"), "target": "kind"}
    found = check("classification", data, "mlp")
    assert named(found, "row without a target") == {f"t.csv:{line}" for line in (2, 7, 12, 17)}
    assert {finding.kind.remedy for finding in found.errors} == {
        "fill it in, or leave such rows out with data.missing_targets: drop"
    }
    assert list(check("classification", {**data, "missing_targets": "drop"}, "mlp").errors) == []


def test_a_target_in_another_notation_is_named_with_the_option_that_reads_it(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", [f"{n % 7};{n},5" for n in range(20)], "age;weight")
    found = check("regression", {"source": "csv", "path": str(tmp_path / "t.csv"), "target": "weight"}, "mlp")
    (message,) = {found.message for found in found.errors if found.kind.name.startswith("column")}
    assert message.endswith("such as '19,5': data.decimal: \",\" reads them")


def test_an_empty_column_is_left_out_and_no_missing_number(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", [f"{n % 7},,{n}" for n in range(20)], "age,empty,weight")
    found = check("regression", {"source": "csv", "path": str(tmp_path / "t.csv"), "target": "weight"}, "mlp")
    assert [column.kind for column in found.columns] == ["number", "left out: empty", "target, number"]
    assert named(found, "row with missing numbers") == set()


def test_columns_that_are_no_inputs_may_be_absent_from_the_second_file(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", [f"{n},{n % 7},{n % 5},{n}" for n in range(20)], "id,age,note,weight")
    write_table(tmp_path / "v.csv", [f"{n % 6},{n + 0.5}" for n in range(20)], "age,weight")
    paths = {"path": str(tmp_path / "t.csv"), "valid_path": str(tmp_path / "v.csv")}
    data = {"source": "csv", "target": "weight", "ignore_columns": ["note"], **paths}
    found = check("regression", data, "mlp")
    assert [column.kind for column in found.columns] == [
        "left out: row number (data.keep_columns)",
        "number",
        "left out: data.ignore_columns",
        "target, number",
    ]


def test_what_may_be_meant_otherwise_is_said_when_a_search_starts(tmp_path: Path) -> None:
    rows = [f"{n},{n % 7},{-999 if n % 9 == 0 else n % 5},{n % 7 + n % 3}" for n in range(40)]
    write_table(tmp_path / "t.csv", rows, "id,age,rooms,weight")
    config = {
        "name": "said",
        "task": "regression",
        "objective": {"metric": "rmse", "mode": "min"},
        "trial": {
            "data": {"source": "csv", "path": str(tmp_path / "t.csv"), "target": "weight"},
            "model": {"name": "mlp", "width": 4, "depth": 1},
            "optimizer": {"name": "adamw", "lr": 0.01},
        },
        "virtual_epoch": {"epochs": 1},
        "budget": {"trials": 1, "max_virtual_epochs": 1},
    }
    said = Said()
    search_locally(config, results=tmp_path / "results", reporter=said)
    numbering, sentinel = said.notes
    assert "column 'id' numbers the rows and is left out; data.keep_columns: [\"id\"]" in numbering
    assert "column 'rooms': '-999' in 5 of 40 rows" in sentinel


class Said(ProgressReporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_rows_that_one_file_repeats_have_advice_of_their_own(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", [f"{n % 7},{n % 7 * 2 + n % 3}" for n in range(40)], "age,weight")
    data = {"source": "csv", "path": str(tmp_path / "t.csv"), "target": "weight"}
    (kind,) = {finding.kind for finding in check("regression", data, "mlp").warnings}
    assert (kind.name, "the file repeats rows" in kind.remedy) == ("data leakage", True)


def test_classes_of_a_training_file_are_checked_with_a_second_file_too(tmp_path: Path) -> None:
    for name in ("t.csv", "v.csv"):
        write_table(tmp_path / name, [f"{n},{('Cat', 'cat', 'dog')[n % 3]}" for n in range(20)], "age,kind")
    paths = {"path": str(tmp_path / "t.csv"), "valid_path": str(tmp_path / "v.csv")}
    (finding,) = check("classification", {"source": "csv", "target": "kind", **paths}, "mlp").errors
    assert "would be two classes" in finding.message


def test_a_table_that_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    write_table(tmp_path / "people.csv", ["1,2"])
    data = {"source": "csv", "path": str(tmp_path / "people.csv"), "target": "kind"}
    (finding,) = check("regression", data, "mlp").errors
    assert "people.csv:2: has 2 cells and the header 4" in finding.message
