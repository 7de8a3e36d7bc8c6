"""What a model's own files say of its tokens: which belong to it, marks, stops, chat templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from veracity.errors import FormatError, UnsupportedModelError, UsageError
from veracity.frontends.chat_template import split_frame
from veracity.frontends.folder_tokenizer import folder_tokenizer
from veracity.frontends.gguf_tokenizer import gguf_tokenizer
from veracity.lm.tokenizer import Tokenizer
from veracity.lm.tokenizer_json import ALPHABET, byte_level_json
from veracity.proving.tokens import token_facts
from veracity.text.chat import ChatFrame, Message, as_messages, check_messages, encode_parts
from veracity.text.words import GPT2

pytest.importorskip("jinja2")
library = pytest.importorskip("tokenizers")

LETTERS = sorted(ALPHABET)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SMOL = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}"
    "{% endif %}" + CHATML
)
MARKS = ["<|im_start|>", "<|im_end|>", "<s>"]


def added(content: str, i: int, special: bool = True, **flags: Any) -> dict[str, Any]:
    kinds = dict.fromkeys(("lstrip", "rstrip", "single_word", "normalized"), False)
    return {"id": i, "content": content, "special": special, **kinds, **flags}


def folder(path: Path, files: dict[str, Any] | None = None, **changes: Any) -> Path:
    body = json.loads(byte_level_json({c: i for i, c in enumerate(LETTERS)}, [], (GPT2,)))
    body["added_tokens"] = [added(t, 256 + i) for i, t in enumerate(MARKS)]
    body["added_tokens"] += [added("  ", 259, special=False), added("<think>", 260, special=False)]
    path.mkdir(exist_ok=True)
    (path / "tokenizer.json").write_text(json.dumps(body | changes))
    for name, content in (files or {}).items():
        (path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_added_tokens_that_are_no_marks_are_text(tmp_path: Path) -> None:
    tokenizer = folder_tokenizer(folder(tmp_path), 261, {})
    assert tokenizer.special_ids == {256, 257, 258}
    assert tokenizer.encode("a  <think>")[1:] == [259, 260]
    assert tokenizer.decode([259, 260]) == "  <think>"
    assert not tokenizer.special_ids & set(tokenizer.encode("<|im_end|><s>"))
    assert tokenizer.unpinned == ""


@pytest.mark.parametrize(("rows", "ours", "theirs"), [(250, "261", "250"), (400, "261", "400")])
def test_a_tokenizer_of_another_model_is_refused(
    tmp_path: Path, rows: int, ours: str, theirs: str
) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        folder_tokenizer(folder(tmp_path), rows, {})
    assert ours in str(caught.value)
    assert theirs in str(caught.value)


def test_padding_is_told(tmp_path: Path) -> None:
    tokenizer = folder_tokenizer(folder(tmp_path), 272, {})
    assert len(tokenizer.token_bytes) == 272
    assert "11 of the embedding's 272 rows" in " ".join(tokenizer.notes)


def test_what_ends_an_answer_is_what_the_files_say(tmp_path: Path) -> None:
    files = {
        "generation_config.json": {"eos_token_id": [256, 5]},
        "tokenizer_config.json": {"eos_token": {"content": "<s>"}},
    }
    tokenizer = folder_tokenizer(folder(tmp_path, files), 261, {"eos_token_id": 7})
    assert tokenizer.stop_ids == {5, 7, 256, 257, 258}
    with pytest.raises(FormatError, match="999"):
        folder_tokenizer(folder(tmp_path), 261, {"eos_token_id": 999})


def test_what_begins_a_text(tmp_path: Path) -> None:
    ids = {"<s>": {"id": "<s>", "ids": [258], "tokens": ["<s>"]}}
    single = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A"}}]
    step = {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": ids}
    steps = {"type": "Sequence", "processors": [{"type": "ByteLevel"}, step]}
    by_step = folder_tokenizer(folder(tmp_path / "a", post_processor=steps), 261, {})
    assert by_step.frame(chat=False) == ([258], [])
    files = {"tokenizer_config.json": {"bos_token": "<s>", "add_bos_token": True}}
    assert folder_tokenizer(folder(tmp_path / "b", files), 261, {}).frame(chat=False)[0] == [258]  # type: ignore[index]
    assert token_facts(by_step)["texts_begin_with"] == ["<s>"]


def test_what_ends_a_text(tmp_path: Path) -> None:
    files = {"tokenizer_config.json": {"eos_token": "<s>", "add_eos_token": True}}
    assert folder_tokenizer(folder(tmp_path / "a", files), 261, {}).frame(chat=False) == ([], [258])
    step: Any = {"type": "RobertaProcessing", "cls": ["<s>", 258], "sep": ["<|im_end|>", 257]}
    found = folder_tokenizer(folder(tmp_path / "b", post_processor=step), 261, {})
    assert found.frame(chat=False) == ([258], [257])
    with pytest.raises(UnsupportedModelError, match="post-processor of type Novelty"):
        folder_tokenizer(folder(tmp_path / "c", post_processor={"type": "Novelty"}), 261, {})


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (added("<odd>", 5, special=False), "have the id 5"),
        (added("<odd>", 257), "have the id 257"),
        (added(LETTERS[3], 261, special=False), "has the ids 3 and 261"),
        (added("<odd>", 2.5), "is no number"),  # type: ignore[arg-type]
    ],
)
def test_every_id_is_of_one_token(tmp_path: Path, token: dict[str, Any], told: str) -> None:
    every = [added(t, 256 + i) for i, t in enumerate(MARKS)]
    with pytest.raises(FormatError, match=told):
        folder_tokenizer(folder(tmp_path, added_tokens=[*every, token]), 262, {})


def test_without_a_template_there_is_no_chat(tmp_path: Path) -> None:
    tokenizer = folder_tokenizer(folder(tmp_path), 261, {})
    assert tokenizer.frame(chat=True) is None
    assert tokenizer.conversation is None
    assert "no chat template" in " ".join(tokenizer.notes)


@pytest.mark.parametrize("where", ["settings", "list", "jinja"])
def test_templates_are_found(tmp_path: Path, where: str) -> None:
    files: dict[str, Any] = {
        "settings": {"tokenizer_config.json": {"chat_template": SMOL}},
        "list": {
            "tokenizer_config.json": {"chat_template": [{"name": "default", "template": SMOL}]}
        },
        "jinja": {"chat_template.jinja": SMOL},
    }[where]
    tokenizer = folder_tokenizer(folder(tmp_path, files), 261, {})
    frame = tokenizer.conversation
    assert frame is not None
    assert frame.parts([Message("user", "Hi")]) == [
        256, "system\nBe kind.", 257, "\n", 256, "user\n", "Hi", 257, "\n", 256, "assistant\n",
    ]  # fmt: skip
    assert "Be kind" in (tokenizer.decode(tokenizer.frame(chat=True)[0]))  # type: ignore[index]
    assert tokenizer.stop_ids >= {257}


# ---- templates ----------------------------------------------------------------------------------


def split(text: str) -> list[str]:
    return [text]


def rendered(frame: ChatFrame, *said: str) -> str:
    roles = ["system", "user", "assistant", "user"][0 if len(said) % 2 == 0 else 1 :]
    messages = [Message(role, text) for role, text in zip(roles, said, strict=False)]
    return "".join(map(str, frame.parts(messages)))


def test_a_template_is_what_it_prints() -> None:
    frame, said = split_frame(CHATML, split, {})
    assert said == ""
    assert frame is not None
    assert rendered(frame, "be", "a", "b", "c") == (
        "<|im_start|>system\nbe<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"
        "b<|im_end|>\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n"
    )


LLAMA3 = (
    "{% for m in messages %}{% set c = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n'"
    " + m['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set c = bos_token + c %}"
    "{% endif %}{{ c }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('none') }}"
    "{% endif %}{% for m in messages %}{% set r = 'model' if m.role == 'assistant' else m.role %}"
    "{{ '<start_of_turn>' + r + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{{ '<start_of_turn>model\n' }}"
)
ONE_TURN = "{{ messages[-1].content }}: {% if messages | length > 2 %}{{ 1 // 0 }}{% endif %}"
DATED = "{{ strftime_now('%Y') }} {{ messages[-1].content }}"


def test_templates_of_other_kinds() -> None:
    frame, _ = split_frame(LLAMA3, split, {"bos_token": "<B>"})
    assert frame is not None
    assert frame.edges == "dropped"
    assert rendered(frame, " a ").startswith("<B><|start_header_id|>user<|end_header_id|>\n\na<")
    frame, said = split_frame(GEMMA, split, {"bos_token": "<bos>"})
    assert frame is not None
    assert "no system message" in said
    with pytest.raises(UsageError, match="no system message"):
        rendered(frame, "s", "a")
    assert "<start_of_turn>model\nb<end_of_turn>" in rendered(frame, "a", "b", "c")
    frame, said = split_frame(ONE_TURN, split, {})
    assert frame is not None
    assert "one turn only" in said
    with pytest.raises(UsageError, match="one turn"):
        rendered(frame, "a", "b", "c")
    assert "date" in split_frame(DATED, split, {})[1]


@pytest.mark.parametrize(
    "template",
    [
        "x", "{{ messages", "{{ 1 / 0 }}", "{{ messages[0].content }}" * 2, "x" * (1 << 17),
        "{% for i in range(10**9) %}a{% endfor %}{{ messages[0].content }}",
        "{{ 'a' * 10**9 }}{{ messages[0].content }}", "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}{{ messages[0].content }}",
        "{% for i in range(1000) %}{% for i in range(1000) %}a{% endfor %}{% endfor %}",
    ],
)  # fmt: skip
def test_templates_that_are_none(template: str) -> None:
    frame, why = split_frame(template, split, {})
    assert frame is None
    assert "template" in why


@pytest.mark.parametrize(
    "roles",
    [
        [], ["system"], ["assistant"], ["user", "user"], ["user", "assistant"], ["tool", "user"],
        ["user", "system", "user"], ["system", "system", "user"],
    ],
)  # fmt: skip
def test_conversations_that_cannot_be_answered(roles: list[str]) -> None:
    with pytest.raises(UsageError, match="in turn"):
        check_messages([Message(role, "x") for role in roles])
    with pytest.raises(UsageError, match="empty"):
        check_messages([Message("user", "")])


def test_messages_as_clients_write_them() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    for given in (
        [("user", "ab")], [["user", "ab"]], [{"role": "user", "content": "ab"}],
        [{"role": "user", "content": parts}], [Message("user", "ab")],
    ):  # fmt: skip
        assert as_messages(given) == [Message("user", "ab")]  # type: ignore[arg-type]
    picture = {"type": "image_url", "text": "a"}
    for wrong in (
        [("user",)], [{"role": "user"}], "user", [1], [{"role": "user", "content": [picture]}],
        [{"role": "user", "content": []}], [{"role": "user", "content": "a", "name": "x"}],
    ):  # fmt: skip
        with pytest.raises(UsageError):
            as_messages(wrong)  # type: ignore[arg-type]


def test_text_between_marks_is_encoded_as_a_whole() -> None:
    seen: list[tuple[str, bool]] = []

    def encode(text: str, first: bool) -> list[int]:
        seen.append((text, first))
        return [len(text)]

    assert encode_parts(["a", "bc", 900, "d", "", 901], encode) == [3, 900, 1, 901]
    assert seen == [("abc", True), ("d", False)]


PLAIN = ChatFrame((1, "a"), (2,)).to_plain()


@pytest.mark.parametrize(
    "change",
    [
        {"edges": "cut"}, {"before_user": None}, {"before_user": [7]}, {"before_user": [""]},
        {"before_user": [True]}, {"before_user": "a"}, {"before_user": ["\ud800"]},
        {"before_system": []}, {"more": 1}, {"after_user": ["x" * (1 << 17)]}, {"edges": None},
        {"user_to_assistant": [1]}, {"before_user": [1] * 2000},
    ],
)  # fmt: skip
def test_malformed_chat_frames(change: dict[str, Any]) -> None:
    marks = {1, 2}.__contains__
    assert ChatFrame.from_plain(PLAIN, "frame", marks).to_plain() == PLAIN
    with pytest.raises(FormatError):
        ChatFrame.from_plain(PLAIN | change, "frame", marks)
    with pytest.raises(FormatError):
        ChatFrame.from_plain([], "frame", marks)


# ---- GGUF ---------------------------------------------------------------------------------------


def facts(**changes: Any) -> dict[str, Any]:
    stated = {
        "model": "gpt2", "pre": "gpt-2", "tokens": [*LETTERS, *MARKS, "  ", "ü"],
        "token_type": [1] * 256 + [3] * 3 + [4] * 2, "merges": [],
    }  # fmt: skip
    return {f"tokenizer.ggml.{k}": v for k, v in (stated | changes).items() if v is not None}


def gguf(rows: int = 261, template: str | None = None, **changes: Any) -> Tokenizer:
    stated = facts(**changes) | {"tokenizer.chat_template": template}
    return gguf_tokenizer(Path("m.gguf"), stated.get, rows)


def test_tokens_that_users_defined_are_text() -> None:
    tokenizer = gguf()
    assert tokenizer.encode("a  ü")[1:] == [259, 260]
    assert tokenizer.decode([259, 260]) == "  ü"
    assert tokenizer.special_ids == {256, 257, 258}


@pytest.mark.parametrize(("pre", "why"), [(None, "not name"), ("default", "default"), ("x", "'x'")])
def test_unknown_splitters_pin_no_rule(pre: str | None, why: str) -> None:
    tokenizer = gguf(pre=pre)
    assert tokenizer.rule is None
    assert why in tokenizer.unpinned
    assert tokenizer.encode("a  ")[1:] == [259]  # through the library, by the same numbers
    assert "WARNING" in token_facts(tokenizer)["tokenisation"]


def test_the_files_own_template_and_ids() -> None:
    tokenizer = gguf(template=CHATML, bos_token_id=258, add_bos_token=True, eos_token_id=5)
    assert tokenizer.frame(chat=False) == ([258], [])
    assert tokenizer.stop_ids == {5, 257}
    assert gguf(eos_token_id=5, add_eos_token=True).frame(chat=False) == ([], [5])
    with pytest.raises(FormatError, match="no eos_token_id"):
        gguf(add_eos_token=True)
    assert "Be kind" not in token_facts(tokenizer)["conversation"]
    assert gguf(bos_token_id=258).frame(chat=False) == ([], [])
    assert gguf(template="x").conversation is None


def test_other_models_tokens_are_refused() -> None:
    for rows in (200, 300):
        with pytest.raises(UnsupportedModelError, match="261 tokens"):
            gguf(rows=rows)
    with pytest.raises(UnsupportedModelError, match="tokenizer t5"):
        gguf(model="t5")
    with pytest.raises(FormatError, match="types"):
        gguf(token_type=[1])


def test_pieces_with_scores_agree_with_the_library() -> None:
    words = [f"<0x{b:02X}>" for b in range(256)]
    tokens = ["<unk>", "<s>", "</s>", *words, *"\u2581abcd", "ab", "bc", "abc", "\u2581a", "<x>"]
    kinds = [2, 3, 3] + [6] * 256 + [1] * 9 + [4]
    scores = [0.0] * 264 + [-1.0, -2.0, -3.0, -1.5] + [0.0]
    tokenizer = gguf(
        rows=len(tokens), model="llama", pre=None, merges=None, tokens=tokens, token_type=kinds,
        scores=scores, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    body = json.loads(tokenizer.body["json"])
    body["model"]["vocab"]["<x>"] = len(tokens) - 1  # else the library numbers it anew
    theirs = library.Tokenizer.from_str(json.dumps(body))
    assert tokenizer.frame(chat=False) == ([1], [])
    assert tokenizer.stop_ids == {2}
    for text in ("abc", "a bc", "abcabc", "é<x>ab", "<x>", "</s>", "a<x> a"):
        ids = tokenizer.encode(text)
        assert ids == theirs.encode(text).ids
        assert not {0, 1, 2} & set(ids)
    assert tokenizer.encode("abcd")[-2:] == [tokens.index("abc"), tokens.index("d")]
    assert tokenizer.unpinned == ""
