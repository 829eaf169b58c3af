"""Server-Sent Events as lines: what is whole is told, what was half when the connection went is not."""

from __future__ import annotations

from lutra_client.events import Event, EventReader


def read(reader: EventReader, text: str) -> list[Event]:
    return [event for line in text.split("\n") if (event := reader.feed(line))]


def test_an_event_is_told_when_its_empty_line_comes() -> None:
    reader = EventReader()
    assert read(reader, 'retry: 2000\n\n: still here\n\nid: 1-0\nevent: progress\ndata: {"done": 1}') == []
    assert (reader.last_id, reader.feed("")) == ("", Event("progress", {"done": 1}))
    assert reader.last_id == "1-0"


def test_data_on_several_lines_is_one_and_what_is_no_object_is_empty() -> None:
    assert read(EventReader(), 'event: a\ndata: {"x":\ndata:1}\n\n') == [Event("a", {"x": 1})]
    assert read(EventReader(), "event: a\ndata: 7\n\n") == [Event("a", {})]


def test_a_half_event_is_forgotten_with_its_connection() -> None:
    reader = EventReader()
    read(reader, "id: 1-0\nevent: a\ndata: {}\n\nid: 2-0\nevent: b")
    reader.begin()
    assert reader.last_id == "1-0"
    assert read(reader, 'id: 2-0\nevent: b\ndata: {"y": 2}\n\n') == [Event("b", {"y": 2})]
