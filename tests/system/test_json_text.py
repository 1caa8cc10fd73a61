import json
import math

import pytest

from flaxmark.system.json_text import json_text


def test_numbers_that_json_does_not_have_are_null() -> None:
    value = {"a": [math.nan, 1.5, (math.inf, 2)], "b": {"c": -math.inf, "d": "NaN", "e": None, "f": True}}

    def refuse(name: str) -> None:
        pytest.fail(name)

    read = json.loads(json_text(value), parse_constant=refuse)
    assert read == {"a": [None, 1.5, [None, 2]], "b": {"c": None, "d": "NaN", "e": None, "f": True}}
    assert "\n" in json_text(value, indent=1)
