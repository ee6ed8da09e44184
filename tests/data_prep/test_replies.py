"""Reasoning leaves the text wherever a server puts it; a reply without an answer says why."""

import pytest
from chat_server import completion

from data_prep.chat.replies import NoAnswer, check_answer, read_answer


@pytest.mark.parametrize(
    "reply",
    [
        completion("The answer.", reasoning_content="Hm."),
        completion("The answer.", reasoning="Hm."),
        completion("<think>\nHm.\n</think>\n\nThe answer."),
        completion("Hm.\n</think>\n\nThe answer."),  # the prompt ended with the first tag
        completion("The answer.\n<think>Hm."),  # cut by the limit
        completion("The <think>Hm.</think>answer."),
    ],
)
def test_reasoning_never_stays_in_the_text(reply):
    answer = read_answer(reply, "key")
    assert (answer.text, answer.reasoning) == ("The answer.", "Hm.")


@pytest.mark.parametrize(
    "text", ["It reasons between `<think>` and `</think>` first.", "`<think>` without </think> is cut off."]
)
def test_a_summary_may_speak_of_the_tags(text):
    answer = read_answer(completion(text), "key")
    assert (answer.text, answer.reasoning) == (text, "")


@pytest.mark.parametrize(
    ("reply", "reason", "ask_again"),
    [
        (completion("<think>Hm, let me", "length"), "no text within 10 tokens; raise max_tokens or turn reasoning off", False),
        (completion(" \n"), r"empty answer \(stop\)", True),
        (completion("", "content_filter"), r"refused \(content_filter\)", False),
        (completion(None, refusal="I cannot."), r"refused \(refusal\)", False),
        (b'{"choices": []}', r"not a chat completion \(choices: List should have at least 1 item", True),
        (b'{"choices": [', r"not a chat completion \(Invalid JSON", True),
        (
            completion([{"type": "text", "text": "x"}]),
            r"not a chat completion \(choices.0.message.content: Input should be",
            True,
        ),
    ],
)
def test_a_reply_of_no_use_says_why_and_whether_to_ask_again(reply, reason, ask_again):
    with pytest.raises(NoAnswer, match=reason) as raised:
        check_answer(read_answer(reply, "key"))
    assert raised.value.ask_again is ask_again
