"""Keys of rows."""

from __future__ import annotations

from tasks.text.rows import group_key

ROW = {"source": "chats", "row_id": "1", "template_id": "short", "group": "author"}


def test_rows_of_one_group_share_a_key_within_their_source() -> None:
    assert group_key(ROW) == group_key(ROW | {"row_id": "2"}) == ("chats", "author")
    assert group_key(ROW | {"source": "mails"}) != group_key(ROW)


def test_a_row_without_a_group_is_one_with_all_of_its_prompt_variants() -> None:
    old = {name: value for name, value in ROW.items() if name != "group"}
    assert group_key(old) == group_key(ROW | {"group": None, "template_id": "long"}) == ("chats", "1")
    assert group_key(old | {"row_id": "2"}) != group_key(old)
