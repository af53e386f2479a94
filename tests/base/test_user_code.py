"""The user's own objects, named as `module:attribute`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sweep.base.errors import InputError, ModelError
from sweep.base.user_code import is_reference, load_object


@pytest.fixture(autouse=True)
def own_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})


def error(reference: str, *folders: Path) -> str:
    with pytest.raises(InputError) as raised:
        load_object(reference, folders)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my_model:Net", True),
        ("pkg.my_model:Net", True),
        ("models/net.py:Net", True),
        ("mlp", False),
        ("my_model:", False),
        (":Net", False),
        ("my_model:Net()", False),
        ("a:b:c", False),
    ],
)
def test_is_reference(name: str, expected: bool) -> None:
    assert is_reference(name) is expected


class TestLoad:
    def test_an_installed_module(self) -> None:
        assert load_object("json:loads") is json.loads
        assert load_object("json.decoder:JSONDecoder") is json.JSONDecoder

    def test_the_first_folder_goes_first(self, tmp_path: Path) -> None:
        for name in ("near", "far"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "lonely_net.py").write_text(f"PLACE = {name!r}")
        folders = (tmp_path / "near", tmp_path / "far")
        assert load_object("lonely_net:PLACE", folders) == "near"

    def test_a_module_finds_its_neighbours(self, tmp_path: Path) -> None:
        (tmp_path / "lonely_net.py").write_text("from lonely_layer import SIZE")
        (tmp_path / "lonely_layer.py").write_text("SIZE = 3")
        assert load_object("lonely_net:SIZE", (tmp_path,)) == 3

    @pytest.mark.parametrize("relative", [True, False])
    def test_a_file(self, tmp_path: Path, relative: bool) -> None:
        (tmp_path / "nets").mkdir()
        file = tmp_path / "nets" / "lonely_net.py"
        file.write_text("class Net: pass")
        place = "nets/lonely_net.py" if relative else file
        net = load_object(f"{place}:Net", (tmp_path,))
        assert net is load_object(f"{place}:Net", (tmp_path,))
        assert (net.__name__, sys.modules[net.__module__].__file__) == ("Net", str(file))

    def test_a_file_does_not_take_another_modules_place(self, tmp_path: Path) -> None:
        (tmp_path / "json.py").write_text("loads = 3")
        assert load_object("json.py:loads", (tmp_path,)) == 3
        assert load_object("json.py:loads", (tmp_path,)) == 3
        assert sys.modules["json"] is json

    def test_two_files_of_one_name(self, tmp_path: Path) -> None:
        for name in ("near", "far"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "lonely_net.py").write_text(f"PLACE = {name!r}")
        places = [f"{name}/lonely_net.py:PLACE" for name in ("near", "far", "near")]
        assert [load_object(place, (tmp_path,)) for place in places] == ["near", "far", "near"]


class TestPackages:
    """A file of a package, by its path, is the module that its dotted name gives."""

    @pytest.fixture(params=["regular", "namespace"])
    def root(self, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
        folder = tmp_path / "lonely_pkg"
        (folder / "sub").mkdir(parents=True)
        (folder / "net.py").write_text(
            "from .layers import SIZE\nfrom .sub.head import Head\nclass Net: pass"
        )
        (folder / "layers.py").write_text("SIZE = 3")
        (folder / "sub" / "head.py").write_text("from ..layers import SIZE\nclass Head: pass")
        if request.param == "regular":
            (folder / "__init__.py").touch()
            (folder / "sub" / "__init__.py").touch()
        return tmp_path

    @pytest.mark.parametrize("dotted_first", [True, False])
    def test_is_the_module_of_the_dotted_name(self, root: Path, dotted_first: bool) -> None:
        names = ["lonely_pkg.net:Net", "lonely_pkg/net.py:Net"]
        first, second = (load_object(n, (root,)) for n in (names if dotted_first else names[::-1]))
        assert first is second
        assert first.__module__ == "lonely_pkg.net"

    def test_a_file_further_down(self, root: Path) -> None:
        head = load_object("lonely_pkg/sub/head.py:Head", (root,))
        assert head.__module__ == "lonely_pkg.sub.head"

    def test_from_inside_the_package(self, root: Path) -> None:
        net = load_object("net.py:Net", (root / "lonely_pkg",))
        assert net.__module__ == "lonely_pkg.net"

    def test_another_package_has_the_name(self, root: Path, tmp_path: Path) -> None:
        load_object("lonely_pkg.net:Net", (root,))
        other = tmp_path / "other" / "lonely_pkg"
        other.mkdir(parents=True)
        (other / "net.py").write_text("from .layers import SIZE")
        text = error("other/lonely_pkg/net.py:Net", tmp_path)
        assert f"{other / 'net.py'} is the module 'lonely_pkg.net', but another one" in text

    def test_a_file_without_relative_imports_needs_no_package(self, tmp_path: Path) -> None:
        (tmp_path / "nets").mkdir()
        (tmp_path / "nets" / "lonely_net.py").write_text("class Net: pass")
        assert load_object("nets/lonely_net.py:Net", (tmp_path,)).__module__ == "lonely_net"


class TestProblems:
    @pytest.mark.parametrize("reference", ["my_model", "my_model:", ":Net", "a:b c", ".py:"])
    def test_not_a_reference(self, tmp_path: Path, reference: str) -> None:
        expected = f"{reference!r}: expected 'module:name', such as 'my_model:Net'"
        assert error(reference, tmp_path) == expected

    def test_no_such_module(self, tmp_path: Path) -> None:
        assert error("lonely_net:Net", tmp_path) == (
            f"'lonely_net:Net': no module 'lonely_net' found (looked in {tmp_path})"
        )
        assert error("lonely_net:Net") == (
            "'lonely_net:Net': no module 'lonely_net' found (looked in the installed packages)"
        )
        assert error("lonely.py:Net", tmp_path) == (
            f"'lonely.py:Net': no module 'lonely.py' found (looked in {tmp_path})"
        )

    def test_no_such_attribute(self, tmp_path: Path) -> None:
        (tmp_path / "lonely_net.py").write_text("class DeepNet: pass")
        assert error("lonely_net:DeepNt", tmp_path) == (
            "'lonely_net:DeepNt': module 'lonely_net' has no 'DeepNt'; did you mean 'DeepNet'?"
        )

    @pytest.mark.parametrize("module", ["lonely_net", "lonely_net.py"])
    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            ("1 / 0", "ZeroDivisionError: division by zero"),
            ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
            (
                "open('nowhere.txt')",
                "FileNotFoundError: [Errno 2] No such file or directory: 'nowhere.txt'",
            ),
            ("raise SystemExit(3)", "SystemExit: 3"),
        ],
    )
    def test_a_module_that_raises(
        self, tmp_path: Path, module: str, code: str, reason: str
    ) -> None:
        (tmp_path / "lonely_net.py").write_text(f"Net = 3\n{code}")
        for _ in range(2):  # the second time too: no half of it is kept
            text = error(f"{module}:Net", tmp_path)
            assert text == f"'{module}:Net': importing it failed: {reason}"

    def test_the_error_is_of_the_class_that_is_asked_for(self) -> None:
        with pytest.raises(ModelError):
            load_object("lonely_net:Net", error=ModelError)
