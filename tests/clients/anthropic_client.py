"""Talks to Tollgate's demo through the official `anthropic` library, which does no retries of its own here.

Usage: anthropic_client.py URL
"""

import sys
import uuid

import anthropic

client = anthropic.Anthropic(base_url=sys.argv[1], api_key="demo", max_retries=0, timeout=30)
HELLO = [{"role": "user", "content": "hello there"}]
TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def plain():
    answer = client.messages.create(model="demo", max_tokens=100, messages=HELLO)
    assert answer.content[0].text == "You said: hello there", answer
    assert answer.stop_reason == "end_turn", answer
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0, answer


def streamed():
    with client.messages.stream(model="demo", max_tokens=100, messages=HELLO) as stream:
        parts = list(stream.text_stream)
        message = stream.get_final_message()
    assert "".join(parts) == "You said: hello there", parts
    assert len(parts) > 1, "one piece is no stream"
    assert message.stop_reason == "end_turn", message


def tools():
    messages = [{"role": "user", "content": [{"type": "text", "text": 'call weather {"city": "Oslo"}'}]}]
    answer = client.messages.create(model="demo", max_tokens=100, messages=messages, tools=[TOOL])
    call = next(block for block in answer.content if block.type == "tool_use")
    assert (call.name, call.input) == ("weather", {"city": "Oslo"}), answer
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    answer = client.messages.create(model="demo", max_tokens=100, messages=messages, tools=[TOOL])
    assert answer.content[0].text == "The tool answered: rain", answer


def tokens():
    assert client.messages.count_tokens(model="demo", messages=HELLO).input_tokens > 0


def broken():
    error = expect(anthropic.BadRequestError, model=5, max_tokens=0, messages=[{"role": "wizard", "content": 7}])
    assert error.body["type"] == "error" and error.body["error"]["type"] == "invalid_request_error", error.body
    for problem in ["model must be string", "max_tokens", "messages[0].role", "messages[0].content"]:
        assert problem in error.message, f"{problem} is missing in: {error.message}"


def failures_that_pass_are_retried():
    headers = {"x-demo-status": "529", "x-demo-fail-first": "2", "x-demo-key": uuid.uuid4().hex}
    answer = client.messages.create(model="demo", max_tokens=100, messages=HELLO, extra_headers=headers)
    assert answer.content[0].text == "You said: hello there", answer


def the_circuit_opens():
    for _ in range(5):
        error = expect(
            anthropic.InternalServerError,
            model="demo",
            max_tokens=100,
            messages=HELLO,
            extra_headers={"x-demo-status": "500"},
        )
    assert error.status_code == 503 and error.body["error"]["type"] == "overloaded_error", error.body


def expect(kind, **request):
    try:
        answer = client.messages.create(**request)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}, but {answer}")


for step in [plain, streamed, tools, tokens, broken, failures_that_pass_are_retried, the_circuit_opens]:
    step()
    print(step.__name__)
