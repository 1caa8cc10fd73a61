"""Anything that JSON can hold, where a config, a mark-up, a COCO file or predictions are expected."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flaxmark.config.config import Config
from flaxmark.data.readers.coco import read_coco_folder
from flaxmark.errors import DataError, FlaxmarkError
from flaxmark.faces.markup_files import markup_from_json
from flaxmark.schema import from_dict, to_dict
from flaxmark.tools.compared_systems import read_predictions

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner))
ANYTHING = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WHOLE: dict[str, Any] = json.loads(json.dumps(to_dict(Config())))
PLACES = [(part, name) for part, fields in WHOLE.items() if isinstance(fields, dict) for name in fields]


@ANYTHING
@given(st.sampled_from(PLACES), JSON)
def test_a_config_with_any_value_is_one_or_is_refused(place: tuple[str, str], value: object) -> None:
    part, name = place
    content = WHOLE | {part: WHOLE[part] | {name: value}}
    try:
        config = from_dict(content, Config)
    except (FlaxmarkError, ValueError, TypeError) as error:
        assert "\n" not in str(error)
    else:
        assert dataclasses.is_dataclass(config)


@ANYTHING
@given(JSON)
def test_any_json_as_a_config_or_a_markup(value: Any) -> None:
    for read in (lambda content: from_dict(content, Config), markup_from_json):
        try:
            read(value)
        except (FlaxmarkError, ValueError) as error:
            assert str(error)


@ANYTHING
@given(JSON, st.booleans())
def test_any_json_as_coco_or_predictions(tmp_path: Path, value: Any, as_lists: bool) -> None:
    content = {"images": value, "annotations": value, "categories": value} if as_lists else value
    path = tmp_path / "faces.json"
    path.write_text(json.dumps(content))
    for read in (lambda: read_coco_folder(tmp_path, 5, "faces.json", None, None), lambda: read_predictions(path)):
        try:
            read()
        except FlaxmarkError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"a":' * 50_000, "1e999", "\ufeff{}", "{'a': 1}", "[1,]"])
def test_texts_that_are_no_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "faces.json"
    path.write_text(text)
    with pytest.raises(DataError):
        read_coco_folder(tmp_path, 5, "faces.json", None, None)
    if text.strip():
        with pytest.raises(FlaxmarkError):
            read_predictions(path)
