"""What an exception in a trial leaves behind."""

import json

import pytest
import torch

from trainables.failure import TRACE_FILE, recorded_failure, take_failure


def fail(folder, error):
    with pytest.raises(type(error)), recorded_failure(folder):
        raise error


def test_trace_for_people_and_cause_for_the_search(tmp_path):
    fail(tmp_path / "0003", ValueError("width is 0\nsecond line"))
    text = (tmp_path / "0003" / TRACE_FILE).read_text()
    assert "Traceback" in text
    assert "second line" in text
    assert "test_failure.py" in text
    assert take_failure(tmp_path / "0003") == {
        "type": "ValueError",
        "message": "width is 0",
        "out_of_memory": False,
    }


def test_a_cause_is_taken_once_and_traces_are_kept(tmp_path):
    fail(tmp_path, ValueError("first"))
    fail(tmp_path, RuntimeError("second"))
    assert take_failure(tmp_path)["message"] == "second"
    assert take_failure(tmp_path) is None
    text = (tmp_path / TRACE_FILE).read_text()
    assert text.index("ValueError: first") < text.index("RuntimeError: second")


def test_without_an_exception_nothing_is_written(tmp_path):
    with recorded_failure(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    assert take_failure(tmp_path) is None
    assert take_failure(tmp_path / "nowhere") is None


def test_a_half_written_cause_is_no_cause(tmp_path):
    fail(tmp_path, ValueError("x"))
    (cause,) = (file for file in tmp_path.iterdir() if file.name != TRACE_FILE)
    cause.write_text(json.dumps({"type": "ValueError"})[:-3])
    assert take_failure(tmp_path) is None


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB")])
def test_out_of_memory_is_told_apart(tmp_path, error):
    fail(tmp_path, error)
    assert take_failure(tmp_path)["out_of_memory"] is True


def test_a_full_cpu_memory_is_out_of_memory_too(tmp_path):
    with pytest.raises(RuntimeError), recorded_failure(tmp_path):
        torch.empty(2**50)
    assert take_failure(tmp_path)["out_of_memory"] is True


def test_the_text_of_a_key_error_is_shown_without_quotes(tmp_path):
    fail(tmp_path, KeyError("the task reports no metric 'miou'; it reports loss"))
    assert take_failure(tmp_path)["message"] == "the task reports no metric 'miou'; it reports loss"


def test_an_exception_without_text_has_an_empty_message(tmp_path):
    fail(tmp_path, AssertionError())
    assert take_failure(tmp_path) == {"type": "AssertionError", "message": "", "out_of_memory": False}


def test_ctrl_c_is_not_a_failure(tmp_path):
    with pytest.raises(KeyboardInterrupt), recorded_failure(tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
