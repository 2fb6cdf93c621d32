"""Every kind of bad file is refused with its reason and place, and good ones are read whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.fhir import files
from node.fhir.errors import InputError
from node.fhir.files import Raw, Refused, files_of, resources_of
from node.fhir.limits import ENTRY_BYTES_MAX
from node.fhir.reasons import Reason
from node.fhir.resources import Resource, resource_of

PATIENT = {"resourceType": "Patient", "id": "p1"}


def bundle(*resources: object, **more: object) -> str:
    """A bundle of these resources."""
    entries = [{"fullUrl": f"urn:uuid:{n}", "resource": r} for n, r in enumerate(resources)]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries} | more)


def read(path: Path, text: str | bytes, name: str = "a.json") -> list[Resource | Refused]:
    """The resources of one file, all the way."""
    (path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    (file,) = files_of(path)
    return [resource_of(raw) if isinstance(raw, Raw) else raw for raw in resources_of(file)]


def only_reason(found: list[Resource | Refused]) -> Reason:
    (one,) = found
    assert isinstance(one, Refused)
    return one.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.EMPTY_FILE),
        (" \n", Reason.EMPTY_FILE),
        ("hello", Reason.NOT_JSON),
        ("<Patient/>", Reason.NOT_JSON),
        ("PK\x03\x04", Reason.NOT_JSON),
        (bundle(PATIENT)[:-1], Reason.NOT_JSON),
        (bundle(PATIENT) + "}", Reason.NOT_JSON),
        (bundle(PATIENT, total="x").replace('"x"', "nul"), Reason.NOT_JSON),
        (bundle(PATIENT).encode("utf-16"), Reason.NOT_JSON),
        ("[1, 2]", Reason.NOT_FHIR),
        ('"text"', Reason.NOT_FHIR),
        (bundle(entry={"a": 1}), Reason.NOT_FHIR),
        ("{}", Reason.NO_RESOURCE_TYPE),
        ('{"resourceType": 7}', Reason.NO_RESOURCE_TYPE),
        ('{"resourceType": "Bundle", "resourceType": "Bundle"}', Reason.DUPLICATE_KEY),
        (bundle(PATIENT, type="history"), Reason.BUNDLE_HISTORY),
    ],
)
def test_a_bad_file_is_refused_as_a_whole(
    tmp_path: Path, text: str | bytes, reason: Reason
) -> None:
    assert only_reason(read(tmp_path, text)) is reason


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ("5", Reason.NOT_FHIR),
        ("{}", Reason.NO_RESOURCE_TYPE),
        ('{"resourceType": "Pat"}', Reason.UNKNOWN_TYPE),
        ('{"resourceType": "Patient", "id": "a b"}', Reason.BAD_ID),
        ('{"resourceType": "Patient", "id": 7}', Reason.BAD_ID),
        ('{"resourceType": "Patient", "id": "p", "id": "p"}', Reason.DUPLICATE_KEY),
        ('{"resourceType": "Patient", "id": "p", "x": {"a": 1, "a": 2}}', Reason.DUPLICATE_KEY),
        ('{"resourceType": "Patient", "id": "p", "n": 0.1000000000000000055}',
         Reason.NUMBER_NOT_EXACT),
        ('{"resourceType": "Patient", "id": "p", "n": 9007199254740993}', Reason.NUMBER_NOT_EXACT),
        ('{"resourceType": "Patient", "id": "p", "t": "\\ud800"}', Reason.BAD_TEXT),
        ('{"resourceType": "Patient", "id": "p", "t": nul}', Reason.NOT_JSON),
        ('{"resourceType": "Patient", "id": "p", "t": ' + "[" * 80 + "]" * 80 + "}",
         Reason.TOO_DEEP),
    ],
)  # fmt: skip
def test_a_bad_resource_is_refused_alone(tmp_path: Path, resource: str, reason: Reason) -> None:
    text = bundle("@", PATIENT).replace('"@"', resource)
    bad, good = read(tmp_path, text)
    assert isinstance(bad, Refused)
    assert (bad.reason, bad.position) == (reason, 1)
    assert text[bad.offset :].startswith('{"fullUrl"')
    assert isinstance(good, Resource)


def test_float_noise_that_a_double_holds_is_no_reason_to_refuse(tmp_path: Path) -> None:
    text = '{"resourceType": "Claim", "id": "c", "total": {"value": 112.41600000000001}}'
    (claim,) = read(tmp_path, text)
    assert isinstance(claim, Resource)
    assert claim.raw.text == text.encode()


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("7", Reason.NOT_FHIR),
        ('{"request": {"method": "DELETE", "url": "Patient/1"}}', Reason.NO_RESOURCE),
        ('{"resource": {"resourceType": "Patient"}}', Reason.NO_ID),
        ('{"resource": {}, "resource": {}}', Reason.DUPLICATE_KEY),
        ('{"resource": {}, "r\\u0065source": {}}', Reason.DUPLICATE_KEY),
        ('{"resource": {}, "search": nul}', Reason.NOT_JSON),
    ],
)
def test_a_bad_entry_is_refused_alone(tmp_path: Path, entry: str, reason: Reason) -> None:
    text = bundle(PATIENT).replace('"entry": [', f'"entry": [{entry}, ')
    bad, good = read(tmp_path, text)
    assert isinstance(bad, Refused)
    assert bad.reason is reason
    assert isinstance(good, Resource)


def test_lines_are_read_one_by_one_and_counted(tmp_path: Path) -> None:
    good = json.dumps(PATIENT)
    found = read(tmp_path, f"{good}\n\nnot json\n{good}", "a.ndjson")
    assert [one.raw.position for one in found if isinstance(one, Resource)] == [1, 4]
    (bad,) = [one for one in found if isinstance(one, Refused)]
    assert (bad.reason, bad.position, bad.offset) == (Reason.NOT_JSON, 3, len(good) + 2)


def test_what_is_too_large_is_skipped_and_the_rest_is_read(tmp_path: Path) -> None:
    huge = '{"resourceType": "Binary", "id": "b", "data": "' + "x" * ENTRY_BYTES_MAX + '"}'
    good = json.dumps(PATIENT)
    for name, text in (
        ("a.json", bundle("@", PATIENT).replace('"@"', huge)),
        ("a.ndjson", f"{huge}\n{good}\n"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        bad, fine = read(folder, text, name)
        assert isinstance(bad, Refused)
        assert (bad.reason, bad.position) == (Reason.TOO_LARGE, 1)
        assert isinstance(fine, Resource)
    single = tmp_path / "single"
    single.mkdir()
    assert only_reason(read(single, huge)) is Reason.TOO_LARGE


def test_a_resource_is_handed_on_exactly_as_it_stands(tmp_path: Path) -> None:
    resource = '{ "resourceType":"Patient",\n "id": "p",  "x": 1.50, "é": "\\u00e9" }'
    text = bundle("@").replace('"@"', f" {resource} ")
    (one,) = read(tmp_path, b"\xef\xbb\xbf" + text.encode())
    assert isinstance(one, Resource)
    assert one.raw.text.decode() == resource


def test_the_order_of_a_bundles_members_does_not_matter(tmp_path: Path) -> None:
    text = json.dumps({"entry": [{"resource": PATIENT}], "type": "x", "resourceType": "Bundle"})
    (one,) = read(tmp_path, text)
    assert isinstance(one, Resource)


def test_reports_name_a_file_by_number_and_hash(tmp_path: Path) -> None:
    (tmp_path / "Aaron_Dickens.json").write_text("x")
    (file,) = files_of(tmp_path)
    (bad,) = resources_of(file)
    assert file.label.startswith("1-")
    assert "Aaron" not in repr(file)
    assert "Aaron" not in repr(bad)


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (file,) = files_of(tmp_path)
    file.path.unlink()
    (bad,) = resources_of(file)
    assert isinstance(bad, Refused)
    assert bad.reason is Reason.UNREADABLE


def test_a_directory_without_input_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x")
    for directory in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError):
            files_of(directory)


def test_a_bundle_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """Fifty megabytes, of which never more than a few are in memory."""
    import tracemalloc  # noqa: PLC0415 - slows everything else down

    filler = json.dumps(PATIENT | {"note": "x" * 50_000})
    with (tmp_path / "big.json").open("w") as stream:
        stream.write('{"resourceType": "Bundle", "type": "batch", "entry": [')
        for number in range(1_000):
            stream.write(("," if number else "") + '{"resource": ' + filler + "}")
        stream.write("]}")
    (file,) = files_of(tmp_path)
    assert file.size > 50_000_000
    tracemalloc.start()
    try:
        count = sum(isinstance(raw, Raw) for raw in files.resources_of(file))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 1_000
    assert peak < 16_000_000
