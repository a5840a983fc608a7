from pathlib import Path

import pytest

from headscribe.core.errors import RunError
from headscribe.core.files import is_partial, write_whole


def test_text_bytes_and_functions(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "one\r\ntwo\x85three\n")
    write_whole(tmp_path / "b", b"\x00\xff")
    write_whole(tmp_path / "c", lambda path: path.write_text("c"))
    assert (tmp_path / "a").read_bytes() == "one\r\ntwo\x85three\n".encode()
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"
    assert (tmp_path / "c").read_text() == "c"
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "c"}


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "table"
    write_whole(target, "old")

    def stopped(temporary: Path) -> None:
        temporary.write_text("half")
        assert target.read_text() == "old"
        assert is_partial(temporary)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_whole(target, stopped)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_no_folder_and_a_folder_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot write .*gone/table: No such file"):
        write_whole(tmp_path / "gone" / "table", "x")
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(RunError, match=r"cannot write .*taken"):
        write_whole(tmp_path / "taken", "x")
    assert {path.name for path in tmp_path.iterdir()} == {"taken"}


def test_other_hidden_files_are_not_partial() -> None:
    assert not is_partial(Path(".gitignore"))
    assert not is_partial(Path("scores.partial"))
