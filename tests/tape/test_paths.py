import pytest

from farend import InvalidArguments, WrongType
from farend.tape.paths import JsonPath, name_of


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("$", "$"),
        ("$.id", "$.id"),
        ("$['a name']", "$['a name']"),
        ('$["id"]', "$.id"),
        ("$.list[0].id", "$.list[0].id"),
        ("$.list[*].id", "$.list[12].id"),
        ("$[*]", "$[3]"),
        ("$.*", "$.anything"),
        ("$.*", "$['a.b']"),
        ("$..id", "$.id"),
        ("$..id", "$.a[0]['b.c'].id"),
        ("$.a..id", "$.a.b.id"),
    ],
)
def test_a_pattern_matches(pattern, path):
    assert JsonPath(pattern).matches(path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("$.id", "$.ids"),
        ("$.id", "$.a.id"),
        ("$.list[0]", "$.list[1]"),
        ("$.*", "$.a.b"),
        ("$..id", "$.id.x"),
        ("$", "$.a"),
    ],
)
def test_a_pattern_does_not_match(pattern, path):
    assert not JsonPath(pattern).matches(path)


@pytest.mark.parametrize("text", ["id", ".id", "", "$id", "$.", "$.a b", "$[", "$[x]", "$.a["])
def test_what_is_no_path(text):
    with pytest.raises(InvalidArguments, match="no JSON path"):
        JsonPath(text)


def test_a_path_is_text():
    with pytest.raises(WrongType):
        JsonPath(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "name"),
    [("$", ""), ("$.id", "id"), ("$.orders[3]", "orders"), ("$.a['b c']", "b c"), ("$.a.id[0][1]", "id")],
)
def test_the_name_of_a_place(path, name):
    assert name_of(path) == name
