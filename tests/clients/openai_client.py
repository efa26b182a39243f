"""Talks to Tollgate's demo through the official `openai` library, which does no retries of its own here.

Usage: openai_client.py URL
"""

import json
import sys
import uuid

import openai

client = openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="demo", max_retries=0, timeout=30)
HELLO = [{"role": "user", "content": "hello there"}]
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def plain():
    answer = client.chat.completions.create(model="demo", messages=HELLO)
    assert answer.choices[0].message.content == "You said: hello there", answer
    assert answer.choices[0].finish_reason == "stop", answer
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0, answer


def streamed():
    chunks = list(client.chat.completions.create(model="demo", messages=HELLO, stream=True))
    parts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(parts) == "You said: hello there", parts
    assert len([part for part in parts if part]) > 1, "one piece is no stream"
    assert chunks[-1].choices[0].finish_reason == "stop", chunks[-1]


def tools():
    messages = [{"role": "user", "content": [{"type": "text", "text": 'call weather {"city": "Oslo"}'}]}]
    answer = client.chat.completions.create(model="demo", messages=messages, tools=[TOOL])
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "weather", answer
    assert json.loads(call.function.arguments) == {"city": "Oslo"}, answer
    messages.append(answer.choices[0].message)
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "rain"})
    answer = client.chat.completions.create(model="demo", messages=messages, tools=[TOOL])
    assert answer.choices[0].message.content == "The tool answered: rain", answer


def responses():
    answer = client.responses.create(model="demo", input="hello there")
    assert answer.output_text == "You said: hello there", answer
    events = client.responses.create(model="demo", input="hello there", stream=True)
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == "You said: hello there", text


def embeddings():
    answer = client.embeddings.create(model="demo", input=["one", "two"], dimensions=16)
    assert [len(item.embedding) for item in answer.data] == [16, 16], answer


def models():
    assert "tollgate-demo" in [model.id for model in client.models.list()]


def broken():
    messages = [{"role": "wizard", "content": 7}]
    error = expect(openai.BadRequestError, model=5, messages=messages, temperature=9, max_tokens=0)
    assert error.status_code == 400 and error.code == "invalid_request", error
    for problem in ["model must be string", "messages[0].role", "messages[0].content", "temperature", "max_tokens"]:
        assert problem in error.message, f"{problem} is missing in: {error.message}"


def too_many_steps():
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    step = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "rain"},
    ]
    error = expect(openai.RateLimitError, model="demo", messages=HELLO + step * 9)
    assert error.code == "max_steps_exceeded", error


def failures_that_pass_are_retried():
    for told in [
        {"x-demo-status": "503"},
        {"x-demo-status": "429"},
        {"x-demo-break": "head"},
    ]:
        headers = {**told, "x-demo-fail-first": "2", "x-demo-key": uuid.uuid4().hex}
        answer = client.chat.completions.create(model="demo", messages=HELLO, extra_headers=headers)
        assert answer.choices[0].message.content == "You said: hello there", answer


def failures_that_stay_are_told():
    error = expect(openai.RateLimitError, model="demo", messages=HELLO, extra_headers={"x-demo-status": "429"})
    assert "429" in error.message, error
    expect(openai.NotFoundError, model="demo", messages=HELLO, extra_headers={"x-demo-status": "404"})


def the_circuit_opens():
    for _ in range(5):
        error = expect(openai.InternalServerError, model="demo", messages=HELLO, extra_headers={"x-demo-status": "500"})
    assert error.status_code == 503 and error.code == "circuit_open", error
    assert int(error.response.headers["retry-after"]) >= 1, error.response.headers


def expect(kind, **request):
    try:
        answer = client.chat.completions.create(**request)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}, but {answer}")


for step in [
    plain,
    streamed,
    tools,
    responses,
    embeddings,
    models,
    broken,
    too_many_steps,
    failures_that_pass_are_retried,
    failures_that_stay_are_told,
    the_circuit_opens,
]:
    step()
    print(step.__name__)
